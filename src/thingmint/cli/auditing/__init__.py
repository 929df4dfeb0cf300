"""Owns `thingmint audit`: shows, exports and removes audit entries."""
