"""Owns the HTTPS edge: HTTP/1.1, signatures, callers and quotas; `api` implements the operations."""
