"""Owns a node: opens its data directory, wires the layers, serves, and runs its background work."""
