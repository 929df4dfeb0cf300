"""Owns one HTTP/1.1 connection: bytes become requests to an ASGI application, and its messages become bytes."""
