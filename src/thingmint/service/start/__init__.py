"""Owns the steps of a start: credentials, passphrases, roles, the choice of storage."""
