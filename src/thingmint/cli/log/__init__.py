"""`thingmint log`: the verifiable log on the command line."""
