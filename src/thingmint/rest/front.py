"""Owns the mapping of paths to applications, and each application's limits and form of errors.

Independent of operations. Each application authenticates its own callers. To serve another application, add a `Mounted`
to the wiring.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from msgspec import Struct

from thingmint.api.wire.errors import RequestTooLarge
from thingmint.core.error_text import trace_of
from thingmint.core.errors import ServiceUnavailable, ThingmintError
from thingmint.rest.answers import Answer, send_answer
from thingmint.rest.asgi_messages import ASGIApplication, HTTPScope, Receive, ReceivedMessage, Send, SentMessage
from thingmint.rest.request_deadlines import RequestDeadline, RequestDeadlines

log = logging.getLogger(__name__)


class RequestLimits(Struct, frozen=True):
    """Limits of a request to an application: bytes of its body, and seconds until its response begins."""

    body_bytes: int
    seconds: float


class Mounted(Struct, frozen=True):
    """An application, and the paths that it serves: those whose first segment is one of the prefixes.

    - The prefix ``/`` means the path ``/`` only.
    - Without prefixes the application serves every path that no other application serves.
    - Without limits the application enforces limits itself.
    - The path in the scope is the whole path.
    - ``error_form`` makes the answer for a `ThingmintError`, and for an error that the application did not catch.
    """

    application: ASGIApplication
    error_form: Callable[[Exception], Answer]
    prefixes: tuple[bytes, ...] = ()
    limits: RequestLimits | None = None


class Front:
    """The ASGI application that passes each request to the application that serves its path."""

    def __init__(self, mounted: Sequence[Mounted], new_request_id: Callable[[], str]) -> None:
        """Mount the applications.

        Raises ValueError unless each prefix is one segment, belongs to one application, and exactly one application has
        no prefixes.
        """
        self._new_request_id = new_request_id
        others = [each for each in mounted if not each.prefixes]
        prefixes = [prefix for each in mounted for prefix in each.prefixes]
        if len(others) != 1 or len(set(prefixes)) != len(prefixes):
            raise ValueError("each prefix belongs to one application, and every other path to one more")
        if any(prefix.rfind(b"/") != 0 for prefix in prefixes):
            raise ValueError("a prefix is a slash and a name, or the slash alone")
        served = [(each, None if each.limits is None else RequestDeadlines(each.limits.seconds)) for each in mounted]
        self._others = next(each for each in served if each[0] is others[0])
        self._by_prefix = {prefix: each for each in served for prefix in each[0].prefixes}

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; raise ValueError for a scope of another type."""
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served")
        mounted, deadlines = self._by_prefix.get(_first_segment(scope["raw_path"]), self._others)
        request = _Request(receive, send, mounted.limits, deadlines)
        try:
            await request.serve(mounted.application, scope)
        except Exception as error:
            if request.has_begun_to_answer:
                raise
            if not isinstance(error, ThingmintError):
                log.error("an application failed: %s", trace_of(error))  # noqa: TRY400 - an error's text may quote secrets
            await send_answer(scope, send, self._new_request_id(), mounted.error_form(error))


def _first_segment(path: bytes) -> bytes:
    end = path.find(b"/", 1)
    return path if end < 0 else path[:end]


class _Request:
    """One request within the limits of its application."""

    __slots__ = (
        "_deadline",
        "_deadlines",
        "_left",
        "_limits",
        "_receive",
        "_send",
        "_switch_protocols",
        "_whole_answer",
        "_whole_body",
        "has_begun_to_answer",
    )

    def __init__(
        self, receive: Receive, send: Send, limits: RequestLimits | None, deadlines: RequestDeadlines | None
    ) -> None:
        self._receive = receive
        self._send = send
        self._limits = limits
        self._deadlines = deadlines
        self._left = 0 if limits is None else limits.body_bytes
        self._deadline: RequestDeadline | None = None
        self._switch_protocols: Callable[[Sequence[bytes], asyncio.Protocol], bool] | None = None
        self._whole_answer: Callable[[int, Sequence[bytes], bytes], bool] | None = None
        self._whole_body: Callable[[], bytes | None] | None = None
        self.has_begun_to_answer = False

    async def serve(self, application: ASGIApplication, scope: HTTPScope) -> None:
        """Let the application answer; raise RequestTooLarge, or ServiceUnavailable if it takes too long."""
        limits, deadlines = self._limits, self._deadlines
        extensions = scope.get("extensions")
        if extensions is not None and "whole_answer" in extensions:
            self._whole_answer = extensions["whole_answer"]
            extensions["whole_answer"] = self.whole_answer
        if extensions is not None and "switch_protocols" in extensions:
            self._switch_protocols = extensions["switch_protocols"]
            extensions["switch_protocols"] = self.switch_protocols
        if limits is None or deadlines is None:
            await application(scope, self._receive, self.send)
            return
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > limits.body_bytes:
                raise self._too_large(limits)
        if extensions is not None:
            self._whole_body = extensions["whole_body"]
            extensions["whole_body"] = self.whole_body
        self._deadline = deadlines.begin()
        try:
            with self._deadline:
                await application(scope, self.receive, self.send)
        except TimeoutError:
            if not self._deadline.has_passed:
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

    def whole_body(self) -> bytes | None:
        """Return what `Extensions` says; raise RequestTooLarge if the body is longer than it may be."""
        assert self._whole_body is not None
        body = self._whole_body()
        if body is not None and self._limits is not None and len(body) > self._limits.body_bytes:
            raise self._too_large(self._limits)
        return body

    def whole_answer(self, status: int, fields: Sequence[bytes], body: bytes) -> bool:
        """Write the response as `Extensions` says. The time limit ends."""
        assert self._whole_answer is not None
        if not self._whole_answer(status, fields, body):
            return False
        self._begin_to_answer()
        return True

    def switch_protocols(self, fields: Sequence[bytes], protocol: asyncio.Protocol) -> bool:
        """Give the connection to the protocol as `Extensions` says. The time limit ends."""
        assert self._switch_protocols is not None
        if not self._switch_protocols(fields, protocol):
            return False
        self._begin_to_answer()
        return True

    async def send(self, message: SentMessage) -> None:
        """Send a message. The time limit ends when the response begins; its body has no time limit."""
        if not self.has_begun_to_answer:
            self._begin_to_answer()
        await self._send(message)

    def _begin_to_answer(self) -> None:
        self.has_begun_to_answer = True
        if self._deadline is not None:
            self._deadline.lift()

    @staticmethod
    def _too_large(limits: RequestLimits) -> RequestTooLarge:
        return RequestTooLarge(f"The body of the request is larger than {limits.body_bytes} bytes")
