"""Owns AWS IoT's API without I/O: decodes messages, calls the registration authority, and encodes the answers."""
