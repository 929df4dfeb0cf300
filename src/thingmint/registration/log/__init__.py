"""Owns the verifiable log: its key, the order of its leaves, reading, proofs, verification, export and pruning."""
