"""Owns certificates, CA certificates, certificate providers and transfers: values and rules."""
