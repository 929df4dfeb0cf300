"""How the ports accept connections: listening, accepting in turn, the peer's TLS and the PROXY protocol."""
