"""Owns the operations on things, their types, groups and principals, billing groups and role aliases."""
