"""Owns the kinds of places in which an issuer's private key can be."""
