"""Owns the operations on things, their types and groups, billing groups, tags, role aliases and events."""
