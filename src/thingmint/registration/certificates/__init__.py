"""Owns the issuance, registration, transfer, search and revocation of certificates."""
