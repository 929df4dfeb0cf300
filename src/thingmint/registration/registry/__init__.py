"""Owns what can be done with things, their types, groups and principals, billing groups and role aliases."""
