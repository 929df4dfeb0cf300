"""Owns the tables of things, types, groups, principals, tags, role aliases and event configurations."""
