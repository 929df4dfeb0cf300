"""One HTTP/1.1 connection: bytes become requests of an ASGI application, and its messages become bytes."""
