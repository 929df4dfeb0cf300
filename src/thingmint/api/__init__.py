"""Owns AWS IoT's API without I/O: bytes to messages, messages to the registration authority, and back."""
