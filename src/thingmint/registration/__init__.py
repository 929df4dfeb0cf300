"""Owns the registration authority: it decides, issues and records, and every edge calls it."""
