"""The HTTPS edge: sockets, HTTP/1.1, signatures and identities; what an operation does is decided below."""
