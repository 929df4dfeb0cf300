"""Owns the life of one device's connection: its packets, its requests, its deliveries and its end."""
