"""Owns access keys, and whether a database belongs to the keys of a node."""
