"""Owns things, types, groups, tags, role aliases and registry events: values and rules."""
