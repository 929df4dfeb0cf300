"""Owns one request and its response: the messages that the application receives and sends. Sets no deadlines."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from thingmint.core.error_text import trace_of
from thingmint.rest.asgi_messages import (
    ASGIApplication,
    HTTPScope,
    Receive,
    ReceivedMessage,
    ResponseBody,
    Send,
    SentMessage,
)
from thingmint.rest.http.protocol import head as http_head
from thingmint.rest.http.protocol.head import Refusal
from thingmint.rest.http.protocol.request_id import new_request_id
from thingmint.rest.http.protocol.request_parser import RequestHead
from thingmint.rest.http.protocol.response_head import WITHOUT_CONTENT, Framing, ResponseHead, whole_head

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\n"
# A larger body is written separately, so that it is not copied to follow its head.
_COPIED_BYTES = 64 * 1024

log = logging.getLogger(__name__)


async def refuse_overload(scope: HTTPScope, receive: Receive, send: Send) -> None:
    """Answer a request for which the service has no room; an ASGI application."""
    await _send_refusal(send, http_head.OVERLOADED)


async def _send_refusal(send: Send, refusal: Refusal) -> None:
    body = http_head.refusal_body(refusal)
    headers = http_head.refusal_headers(refusal, body, new_request_id())
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


class ExchangeConnection(Protocol):
    """The connection's interface for the exchange."""

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        ...

    @property
    def standing_fields(self) -> bytes:
        """Return the header fields of every response, as bytes."""
        ...

    def write(self, data: bytes) -> None:
        """Write a part of a response."""
        ...

    @property
    def is_writable(self) -> bool:
        """Whether the client has read most of what was written."""
        ...

    async def until_writable(self) -> None:
        """Wait until the client has read enough, or has gone."""
        ...

    def body_is_taken(self) -> None:
        """Continue reading: the application has received all that had arrived of the body."""
        ...

    def is_answered(self, exchange: "Exchange") -> None:
        """Go on to the next request: the response is completely written."""
        ...

    def hand_over(self, head: bytes, protocol: asyncio.Protocol) -> bool:
        """Write the head and give the connection to the protocol.

        Returns False without doing so if the client has sent more, although it must wait for the response (RFC 6455,
        4.1), or has gone.
        """
        ...

    def break_off(self) -> None:
        """End the connection: the response cannot be completed."""
        ...


class Exchange:
    """One request and its response."""

    __slots__ = (
        "_changed",
        "_end_is_told",
        "_expects_continue",
        "_head",
        "_is_whole",
        "_line",
        "_owed",
        "_parts",
        "_response",
        "_upgrades",
        "held_bytes",
        "is_complete",
        "is_disconnected",
        "keep_alive",
        "leaves_body_unread",
        "more_body",
        "scope",
    )

    def __init__(self, scope: HTTPScope, line: ExchangeConnection, head: RequestHead) -> None:
        """Take the scope of the head, and the connection that has received it."""
        self.scope = scope
        self.keep_alive = head.keep_alive
        self.more_body = True
        self.held_bytes = 0
        self.is_disconnected = False
        self.is_complete = False
        self.leaves_body_unread = False
        self._line = line
        self._expects_continue = head.expects_continue
        self._upgrades = head.upgrades
        self._parts: list[bytes] = []
        self._end_is_told = False
        self._changed: asyncio.Event | None = None
        self._response: ResponseHead | None = None
        self._is_whole = False
        # If the length of a response is known, its head is written together with the first part of its body.
        self._head = b""
        self._owed = 0

    @property
    def has_begun_to_answer(self) -> bool:
        """Whether the application has sent the head of its response."""
        return self._response is not None or self._is_whole

    @property
    def streams(self) -> bool:
        """Whether the response has begun and its length is not known."""
        response = self._response
        return response is not None and response.framing in (Framing.CHUNKED, Framing.UNTIL_CLOSE)

    # Called by the connection

    def body_part(self, part: bytes) -> None:
        """Keep a part of the body for the application."""
        self._parts.append(part)
        self.held_bytes += len(part)
        self._tell()

    def body_ends(self) -> None:
        """Record that the request is complete."""
        self.more_body = False
        self._tell()

    def disconnect(self) -> None:
        """Notify the application that the client has gone."""
        self.is_disconnected = True
        self._tell()

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed.set()

    # Called for and by the application

    async def run(self, application: ASGIApplication) -> None:
        """Run the application; if it fails, answer in AWS's form without the error's text."""
        # A copy, because the exchange must not refer to itself: its memory is freed when the request ends.
        scope = self.scope.copy()
        scope["extensions"] = {"whole_body": self.whole_body, "whole_answer": self.whole_answer}
        if self._upgrades:
            scope["extensions"]["switch_protocols"] = self.switch_protocols
        try:
            await application(scope, self.receive, self.send)
        except Exception as error:  # noqa: BLE001 - the last resort: any error is a 500 in AWS's form
            if not self.is_disconnected:
                log.error("the application failed: %s", trace_of(error))  # noqa: TRY400 - an error's text may quote secrets
        else:
            if not self.is_complete and not self.is_disconnected:
                log.error("the application returned without a whole response")
        if self.is_complete or self.is_disconnected:
            return
        if self._response is None:
            await _send_refusal(self.send, http_head.INTERNAL_FAILURE)
        else:
            self._write(b"")
            self._line.break_off()

    def whole_body(self) -> bytes | None:
        """Return the body if it has arrived completely, and no part of it was received; None otherwise."""
        if self.more_body or self._end_is_told or self.is_disconnected or self.is_complete:
            return None
        self._end_is_told = True
        self.held_bytes = 0
        body = b"".join(self._parts)
        self._parts.clear()
        return body

    def whole_answer(self, status: int, fields: Sequence[bytes], body: bytes) -> bool:
        """Write a response as `Extensions` says; raise ValueError for a field that would end the head."""
        line = self._line
        if self.has_begun_to_answer or self.is_disconnected or line.is_closing:
            return False
        if not line.is_writable or self.scope["http_version"] != "1.1" or status in WITHOUT_CONTENT:
            return False
        self.leaves_body_unread = self.more_body
        self.keep_alive = self.keep_alive and not self.more_body
        self._head = whole_head(status, line.standing_fields, fields, len(body), keep_alive=self.keep_alive)
        self._is_whole = True
        self._write(b"" if self.scope["method"] == "HEAD" else body)
        self._end()
        return True

    def switch_protocols(self, fields: Sequence[bytes], protocol: asyncio.Protocol) -> bool:
        """Write the response 101 and give the connection to the protocol, as `Extensions` says."""
        line = self._line
        if self.has_begun_to_answer or self.is_disconnected or self.more_body or not line.is_writable:
            return False
        head = b"".join([_SWITCHING, line.standing_fields, *fields, b"\r\n"])
        if not line.hand_over(head, protocol):
            return False
        self._is_whole = self.is_complete = True
        return True

    async def receive(self) -> ReceivedMessage:
        """Return the next part of the body; after the last one, wait for the end of the response or the connection."""
        if self._expects_continue:
            self._ask_for_body()
        while True:
            if self.is_disconnected or self.is_complete:
                return {"type": "http.disconnect"}
            if self._parts or not (self.more_body or self._end_is_told):
                break
            await self._change()
        body = b"".join(self._parts)
        self._parts.clear()
        self.held_bytes = 0
        self._end_is_told = not self.more_body
        if self.more_body:
            self._line.body_is_taken()
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = asyncio.Event()
        self._changed.clear()
        await self._changed.wait()

    def _ask_for_body(self) -> None:
        self._expects_continue = False
        # RFC 9110, 10.1.1: no interim response after a part of the body, or after the response.
        if self.more_body and not self._parts and self._response is None and not self._line.is_closing:
            self._line.write(_CONTINUE)

    async def send(self, message: SentMessage) -> None:
        """Send a part of the response, or nothing once the client has gone.

        Waits while the client has too much unread. Raises RuntimeError if the messages are not in ASGI's order, or if
        the body has another length than its head says.
        """
        if not self._line.is_writable:
            await self._line.until_writable()
        if self._line.is_closing:
            self.disconnect()
        if self.is_disconnected:
            return
        if self.is_complete:
            raise RuntimeError("the response is complete already")
        if message["type"] == "http.response.start":
            if self._response is not None:
                raise RuntimeError("the response has begun already")
            self._start(ResponseHead(message, self.scope["method"], self.scope["http_version"]))
        elif self._response is None:
            raise RuntimeError("the response has no head yet")
        else:
            self._continue(message, self._response)

    def _start(self, response: ResponseHead) -> None:
        # The unread rest of the body would be parsed as the next request: send "close", and drain before closing.
        self.leaves_body_unread = self.more_body
        self.keep_alive = self.keep_alive and not response.closes and not self.more_body
        self._head = response.written(self._line.standing_fields, keep_alive=self.keep_alive)
        self._response = response
        self._owed = response.length or 0
        if response.framing in (Framing.CHUNKED, Framing.UNTIL_CLOSE):
            # The first part may follow much later, so the head is written alone.
            self._write(b"")

    def _continue(self, message: ResponseBody, response: ResponseHead) -> None:
        body, more = message.get("body", b""), message.get("more_body", False)
        if response.framing is Framing.NO_BODY:
            body = b""
        elif response.framing is Framing.LENGTH:
            self._owed -= len(body)
            if self._owed < 0 or (self._owed and not more):
                raise RuntimeError("the body of the response has another length than its head says")
        elif response.framing is Framing.CHUNKED:
            body = _chunk(body, is_last=not more)
        self._write(body)
        if not more:
            self._end()

    def _end(self) -> None:
        self.is_complete = True
        self._tell()
        self._line.is_answered(self)

    def _write(self, body: bytes) -> None:
        if self._head and len(body) > _COPIED_BYTES:
            self._line.write(self._head)
        else:
            body = self._head + body
        self._head = b""
        if body:
            self._line.write(body)


def _chunk(body: bytes, *, is_last: bool) -> bytes:
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    return chunk + b"0\r\n\r\n" if is_last else chunk
