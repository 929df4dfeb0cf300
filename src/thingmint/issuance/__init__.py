"""Owns X.509: keys, signing requests, profiles, lints and issuers. Uses only `cryptography`, no I/O and no clock."""
