"""Owns AWS Signature Version 4: what a request claims, its canonical form, and whether its signature is right."""
