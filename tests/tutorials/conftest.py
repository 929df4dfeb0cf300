"""Gives tutorials a server of PostgreSQL."""
