"""Owns templates, claims, ownership tokens, first connections and bulk registration."""
