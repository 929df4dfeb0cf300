"""`thingmint log`: shows, proves and verifies the verifiable log."""
