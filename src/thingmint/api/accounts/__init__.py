"""Accounts that share a service, for its administrator: messages and operations."""
