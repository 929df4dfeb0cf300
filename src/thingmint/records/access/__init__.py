"""The table of access keys."""
