"""Owns AWS's REST-JSON protocol without I/O: how requests are bound, routed and answered, and how errors look."""
