"""Owns the messages and operations of accounts that share a service, for its administrator."""
