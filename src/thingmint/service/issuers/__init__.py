"""Owns the issuers of a running node: how they come into the database, whether they fit, and what signs for them."""
