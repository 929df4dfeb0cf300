"""Owns `thingmint issue`: identities in bulk, each of them exactly once, whatever interrupts the work."""
