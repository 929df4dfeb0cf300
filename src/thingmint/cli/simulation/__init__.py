"""`thingmint fleet simulate`: real devices, as many as asked for, to measure how an installation carries that load."""
