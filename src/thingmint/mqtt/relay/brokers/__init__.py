"""Owns the brokers of accounts: their specification, which of their nodes answer, and their features."""
