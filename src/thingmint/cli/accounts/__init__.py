"""Owns the commands on accounts, access keys and the test mode."""
