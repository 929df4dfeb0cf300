"""Owns the encoding of a response's head, and the framing of its body. Independent of connections."""

import http
from collections.abc import Sequence
from enum import Enum, auto
from functools import lru_cache

from thingmint.rest.asgi_messages import ResponseStart

# RFC 9110, 6.4.1: responses with these statuses have no content, even if header fields say otherwise.
WITHOUT_CONTENT = frozenset({204, 304})
_CLOSE = b"connection: close\r\n"


class Framing(Enum):
    """How the end of the body is marked (RFC 9112, 6.3)."""

    NO_BODY = auto()
    LENGTH = auto()
    CHUNKED = auto()
    UNTIL_CLOSE = auto()


@lru_cache(maxsize=128)
def _status_line(status: int) -> bytes:
    try:
        phrase = http.HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %b\r\n" % (status, phrase.encode("ascii"))


def whole_head(status: int, standing_fields: bytes, fields: Sequence[bytes], length: int, *, keep_alive: bool) -> bytes:
    """Return the bytes of a head with the length of its body, whose other fields are encoded, each with its line end.

    Raises ValueError for a field that would end the head.
    """
    parts = [_status_line(status), standing_fields, *fields, b"content-length: %d\r\n" % length]
    if not keep_alive:
        parts.append(_CLOSE)
    parts.append(b"\r\n")
    return _joined(parts)


def _joined(parts: Sequence[bytes]) -> bytes:
    head = b"".join(parts)
    # Each part that was written here has one line end; any further line end comes from a value.
    if head.count(b"\n") != len(parts) or head.count(b"\r") != len(parts) or b"\0" in head:
        raise ValueError("a header field of the response holds a control character")
    return head


class ResponseHead:
    """The application's first message; raises ValueError for a header field that would end the head."""

    __slots__ = ("_fields", "_status", "closes", "framing", "length")

    def __init__(self, message: ResponseStart, method: str, version: str) -> None:
        self._status = message["status"]
        self._fields: list[tuple[bytes, bytes]] = []
        self.length: int | None = None
        self.closes = False
        for name, value in message.get("headers", ()):
            lowered = name.lower()
            if lowered == b"connection":
                self.closes = self.closes or value.lower() == b"close"
            elif lowered != b"transfer-encoding":
                self._fields.append((lowered, value))
                if lowered == b"content-length":
                    self.length = int(value)
        self.framing = self._framing(method, version)
        if self.framing is Framing.CHUNKED:
            self._fields.append((b"transfer-encoding", b"chunked"))
        self.closes = self.closes or self.framing is Framing.UNTIL_CLOSE

    def _framing(self, method: str, version: str) -> Framing:
        if method == "HEAD" or self._status in WITHOUT_CONTENT:
            return Framing.NO_BODY
        if self.length is not None:
            return Framing.LENGTH
        # RFC 9112, 6.1: a response to HTTP/1.0 has no transfer coding.
        return Framing.CHUNKED if version == "1.1" else Framing.UNTIL_CLOSE

    def written(self, standing_fields: bytes, *, keep_alive: bool) -> bytes:
        """Return the bytes of the head."""
        parts = [_status_line(self._status), standing_fields]
        parts += [b"%b: %b\r\n" % field for field in self._fields]
        if not keep_alive:
            parts.append(_CLOSE)
        parts.append(b"\r\n")
        return _joined(parts)
