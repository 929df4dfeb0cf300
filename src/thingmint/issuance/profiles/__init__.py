"""Owns what a certificate contains: profiles, names, serial numbers, and the lints that judge it."""
