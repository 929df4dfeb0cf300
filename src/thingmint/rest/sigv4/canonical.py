"""Owns AWS Signature Version 4's canonical form of a request, for verification and for signing.

Does no I/O. Follows the rules of all services except S3: dot segments are removed, and the path is encoded once more.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

from msgspec import Struct

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"

_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9_~-]+)+")
_PLAIN_PARAMETER = re.compile(rb"[A-Za-z0-9_.~-]+=[A-Za-z0-9_.~-]*")
_UNRESERVED = "-_.~"
# A signing key signs requests for a day.
_REMEMBERED_KEYS = 4096


class HttpRequest(Struct, frozen=True):
    """A request as it was sent; header names are lower case, path and query are not decoded."""

    method: str
    raw_path: bytes
    raw_query: bytes
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


class CredentialScope(Struct, frozen=True):
    """The scope of a signing key: one day, one region and one service."""

    date: str
    region: str
    service: str
    terminator: str = TERMINATOR

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/{self.terminator}"


def signing_key(secret: str, scope: CredentialScope) -> bytes:
    """Return the key that signs in this scope."""
    key = f"AWS4{secret}".encode()
    for part in (scope.date, scope.region, scope.service, scope.terminator):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signature(key: bytes, timestamp: str, scope: CredentialScope, canonical: bytes) -> str:
    """Return the signature of a canonical request, in hexadecimal."""
    string_to_sign = f"{ALGORITHM}\n{timestamp}\n{scope}\n{hashlib.sha256(canonical).hexdigest()}"
    code = _keyed(key).copy()
    code.update(string_to_sign.encode())
    return code.hexdigest()


@lru_cache(_REMEMBERED_KEYS)
def _keyed(key: bytes) -> hmac.HMAC:
    # OpenSSL takes four times as long to begin with a key as to continue with a copy.
    return hmac.new(key, digestmod="sha256")


def canonical_request(
    request: HttpRequest,
    raw_query: bytes,
    names: Sequence[bytes],
    values: Mapping[bytes, Sequence[bytes]],
    payload_hash: str,
) -> bytes:
    """Return the canonical request over the named headers, each of which must be among ``values``."""
    lines = [
        request.method.encode(errors="backslashreplace"),
        canonical_path(request.raw_path),
        canonical_query(raw_query),
        *(name + b":" + _header_value(values[name]) for name in names),
        b"",
        b";".join(names),
        payload_hash.encode(),
    ]
    return b"\n".join(lines)


def body_hash(body: bytes) -> str:
    """Return the SHA-256 of a body, in hexadecimal."""
    return hashlib.sha256(body).hexdigest() if body else _EMPTY_SHA256


def canonical_path(raw_path: bytes) -> bytes:
    """Return the path without dot segments and empty segments, percent-encoded once more."""
    if _PLAIN_PATH.fullmatch(raw_path):
        return raw_path
    segments: list[bytes] = []
    for segment in raw_path.split(b"/"):
        if segment == b"..":
            del segments[-1:]
        elif segment not in (b"", b"."):
            segments.append(segment)
    # RFC 3986, 5.2.4 would keep the slash before a last "." or ".."; AWS's clients remove it.
    path = b"/" + b"/".join(segments) + (b"/" if segments and raw_path.endswith(b"/") else b"")
    return quote_from_bytes(path, safe="/~").encode()


def canonical_query(raw_query: bytes) -> bytes:
    """Return the sorted parameters, strictly encoded by RFC 3986; a parameter without a value gets an empty one."""
    if not raw_query or _PLAIN_PARAMETER.fullmatch(raw_query):
        return raw_query
    pairs = sorted((_encoded(key), _encoded(value)) for key, value in query_pairs(raw_query))
    return "&".join(f"{key}={value}" for key, value in pairs).encode()


def query_pairs(raw_query: bytes) -> list[tuple[bytes, bytes]]:
    """Return the decoded parameters in their order; a plus sign is not decoded to a space, as in the operations."""
    pairs = []
    for parameter in raw_query.split(b"&"):
        if parameter:
            key, _, value = parameter.partition(b"=")
            pairs.append((unquote_to_bytes(key), unquote_to_bytes(value)))
    return pairs


def header_values(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """Return the values of each header, in order."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        if name in values:
            values[name].append(value)
        else:
            values[name] = [value]
    return values


def _header_value(values: Sequence[bytes]) -> bytes:
    # Values are trimmed, runs of white space become one space, and values of a repeated header are joined by commas.
    if len(values) == 1:
        return b" ".join(values[0].split())
    return b",".join(b" ".join(value.split()) for value in values)


def _encoded(text: bytes) -> str:
    return quote_from_bytes(text, safe=_UNRESERVED)
