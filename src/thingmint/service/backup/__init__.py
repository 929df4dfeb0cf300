"""Backups of a whole service in one file: how they are made, verified and restored."""
