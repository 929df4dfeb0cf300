"""Owns `thingmint issue`: issues identities in bulk, each of them exactly once, also after interruptions."""
