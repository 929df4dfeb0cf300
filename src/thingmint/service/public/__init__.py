"""Owns what a node publishes without authentication: revocation lists, OCSP and the log."""
