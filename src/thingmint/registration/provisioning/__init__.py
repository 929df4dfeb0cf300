"""Owns templates, claims, ownership tokens, first connections, enrollment, renewal and bulk registration."""
