"""Owns the operations on connected devices and their messages, and the table of all device operations."""
