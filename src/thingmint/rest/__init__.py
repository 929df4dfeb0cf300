"""Owns the HTTPS edge: HTTP/1.1, signatures, callers and quotas; what an operation does is decided in `api`."""
