"""Owns the table of access keys."""
