"""HTTP/1.1 and TLS within limits: the listening ports, connections, requests and their time limits."""
