"""Owns the settings of a node: one table, and the reading of values from flags, environment and file."""
