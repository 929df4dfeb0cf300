"""Owns the issuers of a running node: their adoption into the database, their checks, and their signers."""
