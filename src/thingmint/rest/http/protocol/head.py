"""Owns the validation of HTTP/1.1 request heads and the form of refusals. Does no I/O and reads no clock."""

import http
import json
import re
from collections.abc import Sequence

from msgspec import Struct

from thingmint.rest.http.protocol.target import in_origin_form

Headers = Sequence[tuple[bytes, bytes]]

# RFC 9112, 3.2: answer 400 unless Host is a name, an IPv4 address or a bracketed IPv6 address, with or without a port.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_VERSIONS = frozenset({"1.0", "1.1"})
# Numbers of 64 bits have 20 digits. The parser refuses larger ones, but accepts any number of leading zeros.
_LENGTH_DIGITS = 20
# The fields whose values are checked here. A request has few of them among its other fields.
_CHECKED = frozenset({b"host", b"transfer-encoding", b"content-length"})


class Refusal(Struct, frozen=True):
    """An answer of the protocol itself, which names the client's mistake in AWS's form."""

    status: int
    message: str
    error: str = "InvalidRequestException"


class RequestRefused(Exception):
    """Raised in a parser callback; holds the answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


MALFORMED = Refusal(400, "The request is not well-formed HTTP/1.1")
TRUNCATED = Refusal(400, "The request ended before it was complete")
HEADERS_TOO_LARGE = Refusal(431, "The request's headers are too large")
HEADERS_TOO_MANY = Refusal(431, "The request has too many headers")
TARGET_TOO_LONG = Refusal(414, "The request's target is too long")
BAD_TARGET = Refusal(400, "The request's target must be a path in printable ASCII that starts with /")
BAD_VERSION = Refusal(400, "The HTTP version must be 1.1 or 1.0")
BAD_HOST = Refusal(400, "The request must carry one valid Host header")
OTHER_HOST = Refusal(400, "The request's target names another host than its Host header")
BAD_TRANSFER_CODING = Refusal(400, "The only transfer coding that is understood is chunked, over HTTP/1.1")
# botocore retries this name as a transient error.
TOO_SLOW = Refusal(408, "The request was not received in time", "RequestTimeoutException")
INTERNAL_FAILURE = Refusal(500, "An internal failure occurred", "InternalFailureException")
OVERLOADED = Refusal(400, "Rate exceeded", "ThrottlingException")


def check_head(method: str, version: str, target: bytes, headers: Headers) -> bytes:
    """Return the target in origin-form if the head may be served; raise RequestRefused otherwise."""
    if version not in _VERSIONS:
        raise RequestRefused(BAD_VERSION)
    # RFC 9110, 9.3.6: CONNECT asks for a tunnel, and its target is not a path.
    if method == "CONNECT":
        raise RequestRefused(BAD_TARGET)
    try:
        path, authority = in_origin_form(target)
    except ValueError as error:
        raise RequestRefused(BAD_TARGET) from error
    checked = [field for field in headers if field[0] in _CHECKED]
    _check_host(version, checked, authority)
    codings = [value for name, value in checked if name == b"transfer-encoding"]
    # RFC 9112, 6.1: other codings cannot be decoded here, and the framing of an HTTP/1.0 message with one is faulty.
    if codings and (version == "1.0" or [coding.lower() for coding in codings] != [b"chunked"]):
        raise RequestRefused(BAD_TRANSFER_CODING)
    # RFC 9110, 8.6: a length of any number of digits must not cause an error of conversion.
    if [value for name, value in checked if name == b"content-length" and len(value) > _LENGTH_DIGITS]:
        raise RequestRefused(MALFORMED)
    return path


def framing_of(headers: Headers) -> Headers:
    """Return the fields of a checked head that say how long its body is; none if it has no body."""
    return [
        (name, value)
        for name, value in headers
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
    ]


def _check_host(version: str, headers: Headers, authority: bytes | None) -> None:
    hosts = [value for name, value in headers if name == b"host"]
    if not hosts and version == "1.0":
        return
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]):
        raise RequestRefused(BAD_HOST)
    # RFC 9112, 3.2: a client sends the same authority in both places. Signatures cover the Host header, and a proxy may
    # have looked at either, so a difference is refused.
    if authority is not None and authority.lower() != hosts[0].lower():
        raise RequestRefused(OTHER_HOST)


def refusal_headers(refusal: Refusal, body: bytes, request_id: str) -> list[tuple[bytes, bytes]]:
    """Return the header fields of a refusal, which always ends the connection."""
    fields = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-amzn-requestid", request_id.encode("ascii")),
        (b"x-amzn-errortype", refusal.error.encode("ascii")),
        (b"connection", b"close"),
    ]
    if refusal.error == "ThrottlingException":
        fields.append((b"retry-after", b"1"))
    return fields


def refusal_body(refusal: Refusal) -> bytes:
    """Return the JSON body of a refusal."""
    return json.dumps({"message": refusal.message}).encode("ascii")


def refusal_bytes(refusal: Refusal, request_id: str, standing_fields: bytes, *, to_head: bool) -> bytes:
    """Return a complete HTTP/1.1 response, to a HEAD request or another one.

    ``standing_fields`` are in every response, each with its line end.
    """
    body = refusal_body(refusal)
    lines = [b"HTTP/1.1 %d %s\r\n" % (refusal.status, http.HTTPStatus(refusal.status).phrase.encode("ascii"))]
    lines.append(standing_fields)
    lines += [b"%b: %b\r\n" % field for field in refusal_headers(refusal, body, request_id)]
    # RFC 9110, 9.3.2: the response to HEAD has the fields of the response to GET, and no body.
    return b"".join([*lines, b"\r\n", b"" if to_head else body])
