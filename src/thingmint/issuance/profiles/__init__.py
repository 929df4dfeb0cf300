"""Owns the content of certificates: profiles, names, serial numbers, and lints."""
