"""Owns the tables of policies and of what they are attached to."""
