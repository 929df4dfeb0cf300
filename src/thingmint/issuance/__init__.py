"""Owns X.509: keys, signing requests, profiles, lints and issuers; `cryptography` only, no I/O, no clock."""
