"""Owns CRLs and OCSP responses as encodings that are signed; knows no store."""
