"""Owns the markers of lists: opaque texts for the start of the next page. Independent of the lists' contents.

A marker belongs to one place: a list of one account and region in one direction, with its filters. Its digest detects
damage and markers of other lists. It needs no secret, because the caller's scope, and never the marker, decides which
items a list shows.
"""

import base64
import hashlib

from thingmint.core.errors import InvalidRequest
from thingmint.core.paging import PageKey

_VERSION = b"\x01"
_POSITION_BYTES = 8
_DIGEST_BYTES = 12


def encode_marker(place: tuple[str, ...], key: PageKey) -> str:
    """Return the marker in standard Base64, whose alphabet matches the model's pattern."""
    after = key.position.to_bytes(_POSITION_BYTES, "big") + key.text.encode()
    return base64.b64encode(_VERSION + _digest(place, after) + after).decode("ascii")


def decode_marker(place: tuple[str, ...], marker: str) -> PageKey:
    """Return the start of the page; raise InvalidRequest unless the marker was made for this list."""
    try:
        raw = base64.b64decode(marker, validate=True)
    except ValueError:
        raise InvalidRequest("The marker is not valid") from None
    after = raw[len(_VERSION) + _DIGEST_BYTES :]
    if len(after) < _POSITION_BYTES or raw != _VERSION + _digest(place, after) + after:
        raise InvalidRequest("The marker is not valid for this list, account, region, order and filter")
    # An attacker can compute the digest of any bytes: they must not cause an error in the decoder or database.
    text = after[_POSITION_BYTES:].decode("utf-8", "replace").replace("\0", "")
    return PageKey(int.from_bytes(after[:_POSITION_BYTES], "big"), text)


def _digest(place: tuple[str, ...], after: bytes) -> bytes:
    # Each part has its length, because a filter may hold any character, and two lists must never have the same text.
    described = "".join(f"{len(part)}:{part}" for part in place)
    return hashlib.sha256(described.encode("utf-8", "surrogatepass") + after).digest()[:_DIGEST_BYTES]
