"""Owns the settings of a node: one table, and how values are read from flags, environment and file."""
