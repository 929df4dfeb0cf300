"""Owns the encoding and signing of CRLs and OCSP responses. Does no I/O."""
