"""Owns the parsing of bytes into the parts of requests, within limits of size. Reads no clock; calls no application.

httptools parses. It does not limit the size of heads, trailers and chunk framing, so this module does.
"""

import logging
from collections.abc import Iterable
from typing import Protocol

import httptools
from msgspec import Struct

from thingmint.rest.http.limits import Limits
from thingmint.rest.http.protocol import head as http_head
from thingmint.rest.http.protocol.head import RequestRefused

log = logging.getLogger(__name__)


class NothingMore(Exception):
    """The remaining bytes belong to no request: the last one is complete, or asks for another protocol.

    In the second case ``parsed`` is how many bytes of the piece belong to it.
    """

    def __init__(self, parsed: int = 0) -> None:
        super().__init__("no request follows")
        self.parsed = parsed


class RequestHead(Struct, frozen=True):
    """A valid head; its target is in origin-form, and the names of its header fields are in lower case."""

    method: str
    version: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool
    expects_continue: bool
    upgrades: bool
    """Whether the client asks for another protocol after the response."""

    def __repr__(self) -> str:
        # Header fields and the target have signatures and session tokens.
        return f"RequestHead({self.method!r}, {len(self.headers)} header fields)"


class RequestSink(Protocol):
    """Receives the parts of requests. The methods may raise `RequestRefused` and `NothingMore`."""

    def request_begins(self) -> None:
        """Called at the first byte of a head."""
        ...

    def head_ends(self, head: RequestHead) -> None:
        """Called with a complete head."""
        ...

    def body_part(self, part: bytes) -> None:
        """Called with a part of the body."""
        ...

    def request_ends(self) -> None:
        """Called when the request is complete."""
        ...


class RequestParser:
    """The parser of one connection; its ``on_`` methods are what httptools calls."""

    def __init__(self, sink: RequestSink, limits: Limits) -> None:
        self._sink = sink
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        self._in_head = False
        self._in_body = False
        self._is_last = False
        self._target = b""
        self.is_head = False
        """Whether the method of the newest request is HEAD, as far as its bytes have arrived."""
        self._headers: list[tuple[bytes, bytes]] = []
        self._body_is_skipped = False
        self._trailers = 0
        self._head_bytes = 0
        self._framing_bytes = 0

    def feed(self, piece: bytes) -> None:
        """Parse a piece; raise RequestRefused for an invalid request, NothingMore if no further request follows."""
        self._framing_bytes += len(piece)
        parsed = 0
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            parsed = upgrade.args[0]
            if not self._body_is_skipped:
                # The application decides about the other protocol. It need not exist: most requests are simply served.
                raise NothingMore(parsed) from upgrade
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserInvalidURLError):
                self._note_method()  # the parser has not called `on_url`
            raise self._meaning(error) from error
        if self._body_is_skipped:
            self._body_is_skipped = False
            self._parser = _parser_of_body(self, http_head.framing_of(self._headers))
            self.feed(piece[parsed:])
            return
        if self._in_head:
            # httptools collects a header field until it is complete, so bytes are counted as they arrive.
            self._head_bytes += len(piece)
        most = self._limits.header_bytes
        if self._head_bytes > most or self._framing_bytes > most:
            raise RequestRefused(http_head.HEADERS_TOO_LARGE)

    def end_after_this(self) -> None:
        """Accept no request after the one that has begun."""
        self._is_last = True

    def _meaning(self, error: httptools.HttpParserError) -> Exception:
        cause = error.__context__
        if isinstance(cause, RequestRefused | NothingMore):
            return cause
        if self._is_last and not self._in_head and not self._in_body:
            return NothingMore()  # RFC 9112, 9.6: bytes after a request with "Connection: close" are ignored
        if cause is not None:
            log.error("a callback of the HTTP parser failed", exc_info=cause)
        return RequestRefused(http_head.MALFORMED)

    def _note_method(self) -> None:
        self.is_head = self._parser.get_method() == b"HEAD"

    # Called by httptools

    def on_message_begin(self) -> None:
        """Begin a head; raise NothingMore after the last request."""
        if self._is_last:
            raise NothingMore
        self._in_head = True
        self._target = b""
        self.is_head = False
        self._headers = []
        self._head_bytes = self._framing_bytes = self._trailers = 0
        self._sink.request_begins()

    def on_url(self, part: bytes) -> None:
        """Collect the target; raise RequestRefused if it is too long."""
        self._note_method()
        self._target += part
        if len(self._target) > self._limits.target_bytes:
            raise RequestRefused(http_head.TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect a header field, or drop a trailer field; raise RequestRefused if there are too many."""
        if self._in_head:
            name = name.lower()
            headers = self._headers
            # RFC 9112, 5.1: white space around a value is not part of it; httptools does not remove it after the value.
            # A transfer coding is checked in the form that httptools has.
            headers.append((name, value if name == b"transfer-encoding" else value.rstrip(b" \t")))
            count = len(headers)
        else:
            # RFC 9110, 6.5.1: trailers are not merged into headers, because a proxy has checked only the headers.
            self._trailers += 1
            count = self._trailers
        if count > self._limits.header_count:
            raise RequestRefused(http_head.HEADERS_TOO_MANY)

    def on_headers_complete(self) -> None:
        """Check the head and pass it on; raise RequestRefused if it cannot be served."""
        parser = self._parser
        method, version = parser.get_method().decode("ascii"), parser.get_http_version()
        target = http_head.check_head(method, version, self._target, self._headers)
        self._in_head, self._in_body = False, True
        self._framing_bytes = 0
        is_current = version == "1.1"
        has_upgrade = parser.should_upgrade()
        # RFC 9110, 7.8: Upgrade may be ignored, and must be in HTTP/1.0. It is ignored if the request has a body.
        self._body_is_skipped = has_upgrade and bool(http_head.framing_of(self._headers))
        upgrades = has_upgrade and is_current and not self._body_is_skipped
        keep_alive = is_current and not has_upgrade and parser.should_keep_alive()
        self._is_last = not keep_alive
        # RFC 9110, 10.1.1: an expectation in an HTTP/1.0 request is ignored.
        expects = is_current and _expects_continue(self._headers)
        self._sink.head_ends(RequestHead(method, version, target, self._headers, keep_alive, expects, upgrades))

    def on_body(self, part: bytes) -> None:
        """Pass on a part of the body; the bytes between parts and the trailers are limited."""
        self._framing_bytes = 0
        self._sink.body_part(part)

    def on_message_complete(self) -> None:
        """End the request."""
        if self._body_is_skipped:
            return
        self._in_body = False
        self._framing_bytes = 0
        self._sink.request_ends()


class _Body:
    """Passes the callbacks of httptools on to a parser, except those of the head, which it already has."""

    def __init__(self, parser: RequestParser) -> None:
        self._parser = parser
        self.on_body = parser.on_body
        self.on_message_complete = parser.on_message_complete
        self._is_behind_head = False

    def on_headers_complete(self) -> None:
        self._is_behind_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_behind_head:
            self._parser.on_header(name, value)

    def on_message_begin(self) -> None:
        if self._is_behind_head:
            self._parser.on_message_begin()


def _parser_of_body(parser: RequestParser, framing: http_head.Headers) -> httptools.HttpRequestParser:
    """Return a parser of the rest of a request whose body has this framing.

    httptools skips the body of a request with Upgrade, so another parser reads it, behind a head without that field.
    """
    of_body = httptools.HttpRequestParser(_Body(parser))
    fields = b"".join(b"%b: %b\r\n" % field for field in framing)
    of_body.feed_data(b"POST / HTTP/1.1\r\n" + fields + b"\r\n")
    return of_body


def _expects_continue(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return b"100-continue" in [value.lower() for name, value in headers if name == b"expect"]
