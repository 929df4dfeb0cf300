"""Owns keys: pairs, weak ones, the form in which the service's own are stored, and what signs."""
