"""Owns access keys, accounts and console sessions, and the check that a database belongs to a node's keys."""
