"""Owns published revocation: revocation lists (CRLs), and status responses (OCSP) about single certificates."""
