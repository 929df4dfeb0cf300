"""Owns `thingmint fleet simulate`: real devices, as many as asked for, that measure how a node carries them."""
