"""Owns one HTTP/1.1 connection: bytes become requests of an ASGI application, its messages become bytes."""
