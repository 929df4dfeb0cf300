"""Owns the tables of policies and of their attachments."""
