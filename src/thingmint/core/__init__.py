"""Owns the types and rules of device certificates; depends on the standard library only."""
