"""Owns X.509: keys, signing requests, profiles, lints and issuers; uses only `cryptography`, no I/O and no clock."""
