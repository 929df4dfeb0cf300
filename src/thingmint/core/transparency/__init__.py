"""Owns the data structures of the verifiable log: tree, leaves, checkpoints and tiles."""
