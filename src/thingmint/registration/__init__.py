"""Owns the registration authority, which issues certificates and changes the registry. Every edge calls it."""
