"""Owns the registration authority, which every edge calls to issue certificates and to change the registry."""
