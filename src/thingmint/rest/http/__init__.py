"""Owns HTTP/1.1 and TLS within limits: the listening port, its connections, and their time limits."""
