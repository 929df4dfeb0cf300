"""Owns the types and rules of device certificates. Depends on the standard library only."""
