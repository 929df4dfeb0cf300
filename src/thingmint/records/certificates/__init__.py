"""Owns the tables of certificates, CA certificates, certificate providers and transfers."""
