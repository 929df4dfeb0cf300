"""Owns the tables of nodes, their messages and their connections, for PostgreSQL only."""
