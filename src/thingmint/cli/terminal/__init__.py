"""Owns forms of the terminal: help, columns, tables, progress, and numbers and times that are read."""
