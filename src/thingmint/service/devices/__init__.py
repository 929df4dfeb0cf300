"""Owns the device edge of a running node: its port, its limits, and its reaction to changes in the registry."""
