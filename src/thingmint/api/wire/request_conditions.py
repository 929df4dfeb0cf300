"""Owns the condition keys that every request to the API has, independent of the caller and the operation."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from thingmint.registration.policies.authorization import time_conditions

_HEADERS = {"aws:UserAgent": b"user-agent", "aws:Referer": b"referer"}


def request_conditions(
    scheme: str, headers: Sequence[tuple[bytes, bytes]], now: datetime
) -> Mapping[str, tuple[str, ...]]:
    """Return the keys with their values; keys of headers are present if the request has the header."""
    return {**time_conditions(now), **lasting_conditions(scheme, headers)}


def lasting_conditions(scheme: str, headers: Sequence[tuple[bytes, bytes]]) -> Mapping[str, tuple[str, ...]]:
    """Return the keys that stay the same while the connection of an opening handshake lasts: all but the time."""
    keys = {"aws:SecureTransport": "true" if scheme == "https" else "false"}
    for key, name in _HEADERS.items():
        values = [value for header, value in headers if header == name]
        if values:
            # RFC 9110, 5.3: a repeated header means the same as one header with all values.
            keys[key] = b", ".join(values).decode("latin-1")
    return {key: (value,) for key, value in keys.items()}
