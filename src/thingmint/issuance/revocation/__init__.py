"""Owns the encoding and signing of CRLs and OCSP responses, without I/O."""
