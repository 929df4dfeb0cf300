"""Owns the tables of nodes, their messages and their connections. Used on PostgreSQL only."""
