"""Owns the tables of the verifiable log: its state, its tiles, and the audit entry of each leaf."""
