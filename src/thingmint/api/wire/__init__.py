"""Owns AWS's REST-JSON protocol without I/O: the routing and binding of requests, the answers, and the errors."""
