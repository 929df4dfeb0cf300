"""Owns the device edge of a running node: its port, its limits, and what changes mean for it."""
