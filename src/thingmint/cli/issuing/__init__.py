"""Owns `thingmint issue`: identities in bulk, each of them exactly once, also if the work is interrupted."""
