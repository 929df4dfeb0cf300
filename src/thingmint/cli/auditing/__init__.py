"""Owns `thingmint audit`: entries shown, exported and removed."""
