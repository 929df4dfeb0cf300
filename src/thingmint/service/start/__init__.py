"""Owns what a start needs before the registry opens: credentials, passphrases, roles, the choice of storage."""
