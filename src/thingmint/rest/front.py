"""Owns which application serves a path, and the limits and the form of errors of each; knows no operation.

Each application authenticates its own callers. To serve another one is one more `Mounted` in the wiring.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thingmint.api.wire.errors import RequestTooLarge
from thingmint.core.errors import ServiceUnavailable, ThingmintError
from thingmint.host.traces import trace_of
from thingmint.rest.answers import Answer, send_answer
from thingmint.rest.asgi_messages import ASGIApplication, HTTPScope, Receive, ReceivedMessage, Send, SentMessage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What a request to an application may take: bytes of its body, and seconds until its response begins."""

    body_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Mounted:
    """An application and the paths that it serves: those whose first segment is one of the prefixes.

    The prefix of a slash alone is the path of a slash alone.
    Without prefixes it serves every path that no other one does. Without limits it keeps its own. The path in the scope
    is the whole one. ``error_form`` makes the answer for a `ThingmintError`, and for an error that the application did
    not catch.
    """

    application: ASGIApplication
    error_form: Callable[[Exception], Answer]
    prefixes: tuple[bytes, ...] = ()
    limits: RequestLimits | None = None


class Front:
    """The ASGI application that hands each request to the one that serves its path."""

    def __init__(self, mounted: Sequence[Mounted], new_request_id: Callable[[], str]) -> None:
        """Raise ValueError unless each prefix is one segment of one application, and one application has none."""
        self._new_request_id = new_request_id
        others = [each for each in mounted if not each.prefixes]
        prefixes = [prefix for each in mounted for prefix in each.prefixes]
        if len(others) != 1 or len(set(prefixes)) != len(prefixes):
            raise ValueError("each prefix belongs to one application, and every other path to one more")
        if any(prefix.rfind(b"/") != 0 for prefix in prefixes):
            raise ValueError("a prefix is a slash and a name, or the slash alone")
        self._others = others[0]
        self._by_prefix = {prefix: each for each in mounted for prefix in each.prefixes}

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; raise ValueError for what is not HTTP."""
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served")
        mounted = self._by_prefix.get(_first_segment(scope["raw_path"]), self._others)
        request = _Request(receive, send, mounted.limits)
        try:
            await request.serve(mounted.application, scope)
        except Exception as error:
            if request.has_begun_to_answer:
                raise
            if not isinstance(error, ThingmintError):
                log.error("an application failed: %s", trace_of(error))  # noqa: TRY400 - an error's text may quote secrets
            await send_answer(send, scope["method"], self._new_request_id(), mounted.error_form(error))


def _first_segment(path: bytes) -> bytes:
    end = path.find(b"/", 1)
    return path if end < 0 else path[:end]


class _Request:
    """One request within the limits of its application."""

    __slots__ = ("_deadline", "_left", "_limits", "_receive", "_send", "has_begun_to_answer")

    def __init__(self, receive: Receive, send: Send, limits: RequestLimits | None) -> None:
        self._receive = receive
        self._send = send
        self._limits = limits
        self._left = 0 if limits is None else limits.body_bytes
        self._deadline: asyncio.Timeout | None = None
        self.has_begun_to_answer = False

    async def serve(self, application: ASGIApplication, scope: HTTPScope) -> None:
        """Let the application answer; raise RequestTooLarge, or ServiceUnavailable if it takes too long."""
        if self._limits is None:
            await application(scope, self._receive, self.send)
            return
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self._limits.body_bytes:
                raise self._too_large(self._limits)
        self._deadline = asyncio.timeout(self._limits.seconds)
        try:
            async with self._deadline:
                await application(scope, self.receive, self.send)
        except TimeoutError:
            if not self._deadline.expired():
                raise
            raise ServiceUnavailable("The request was not answered in time") from None

    async def receive(self) -> ReceivedMessage:
        """Return the next message; raise RequestTooLarge if the body is longer than it may be."""
        message = await self._receive()
        if message["type"] == "http.request" and self._limits is not None:
            self._left -= len(message["body"])
            if self._left < 0:
                raise self._too_large(self._limits)
        return message

    async def send(self, message: SentMessage) -> None:
        """Send; from the head of the response on, it may last as long as its client listens."""
        if not self.has_begun_to_answer:
            self.has_begun_to_answer = True
            if self._deadline is not None and not self._deadline.expired():
                self._deadline.reschedule(None)
        await self._send(message)

    @staticmethod
    def _too_large(limits: RequestLimits) -> RequestTooLarge:
        return RequestTooLarge(f"The body of the request is larger than {limits.body_bytes} bytes")
