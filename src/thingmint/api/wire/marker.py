"""Owns the markers of lists: opaque text for the place where the next page starts; knows no list's content.

A marker belongs to one place: a list of one account and region in one direction, and its filters. Its digest
notices damage and strangers; it is no secret and needs none, because what a list shows is decided by the caller's scope
and never by the marker.
"""

import base64
import hashlib

from thingmint.core.errors import InvalidRequest
from thingmint.records.paging import PageKey

_VERSION = b"\x01"
_POSITION_BYTES = 8
_DIGEST_BYTES = 12


def encode_marker(place: tuple[str, ...], key: PageKey) -> str:
    """Return the marker in standard base64, which is the alphabet of the model's pattern."""
    after = key.position.to_bytes(_POSITION_BYTES, "big") + key.text.encode()
    return base64.b64encode(_VERSION + _digest(place, after) + after).decode("ascii")


def decode_marker(place: tuple[str, ...], marker: str) -> PageKey:
    """Return the place that the marker stands for; raise InvalidRequest unless it was made for this list."""
    try:
        raw = base64.b64decode(marker, validate=True)
    except ValueError:
        raise InvalidRequest("The marker is not valid") from None
    after = raw[len(_VERSION) + _DIGEST_BYTES :]
    if len(after) < _POSITION_BYTES or raw != _VERSION + _digest(place, after) + after:
        raise InvalidRequest("The marker is not valid for this list, account, region, order and filter")
    # A stranger who computes the digest may write any bytes: they must not become an error of the decoder or database.
    text = after[_POSITION_BYTES:].decode("utf-8", "replace").replace("\0", "")
    return PageKey(int.from_bytes(after[:_POSITION_BYTES], "big"), text)


def _digest(place: tuple[str, ...], after: bytes) -> bytes:
    # Each part with its length: a filter may hold any character, and two lists must never be described alike.
    described = "".join(f"{len(part)}:{part}" for part in place)
    return hashlib.sha256(described.encode("utf-8", "surrogatepass") + after).digest()[:_DIGEST_BYTES]
