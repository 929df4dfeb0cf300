"""Owns the tables of access keys and console sessions, and the deletion of an account's rows."""
