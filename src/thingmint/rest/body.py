"""Owns the reading of request bodies within limits of size, time and memory. Independent of their content."""

import asyncio

from msgspec import Struct, field

from thingmint.api.wire.errors import RequestTooLarge, RequestTooSlow
from thingmint.core.errors import Throttled
from thingmint.rest.asgi_messages import HTTPScope, Receive, ReceivedMessage


class RequestAborted(Exception):
    """The client disconnected before its request was complete, so no answer can be sent."""


class BodyLimits(Struct, frozen=True):
    """Limits of request bodies: bytes and seconds for each body, and bytes for all unfinished bodies together."""

    bytes_each: int = 1024 * 1024
    bytes_together: int = 64 * 1024 * 1024
    seconds: float = 60.0


class _Unfinished(Struct, eq=False):
    """A body of which a part has arrived, and the deadline for the rest."""

    deadline: asyncio.Timeout
    collected: bytearray = field(default_factory=bytearray)
    gives_way: bool = False


class BodyReader:
    """Reads bodies, and counts the bytes of unfinished ones in memory."""

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self._held = 0
        # In the order in which they began.
        self._unfinished: dict[_Unfinished, None] = {}

    async def read(self, scope: HTTPScope, receive: Receive) -> bytes:
        """Return the whole body of the request.

        Raises RequestTooLarge, RequestTooSlow, RequestAborted, and Throttled if the body is dropped in favour of others
        because unfinished bodies exceed their memory limit.
        """
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self._limits.bytes_each:
                raise self._too_large()
        # Most bodies arrive together with their heads, and need neither a time limit nor a place.
        body = scope["extensions"]["whole_body"]() if "extensions" in scope else None
        if body is not None:
            if len(body) > self._limits.bytes_each:
                raise self._too_large()
            return body
        unfinished = _Unfinished(asyncio.timeout(self._limits.seconds))
        try:
            async with unfinished.deadline:
                return await self._collect(unfinished, receive)
        except TimeoutError:
            if unfinished.gives_way:
                raise Throttled from None
            raise RequestTooSlow("The body of the request was not received in time") from None
        finally:
            self._let_go(unfinished)

    async def _collect(self, unfinished: _Unfinished, receive: Receive) -> bytes:
        body, complete = await self._chunk(receive)
        if complete and len(body) <= self._limits.bytes_each:
            return body
        self._unfinished[unfinished] = None
        collected = unfinished.collected
        while True:
            self._held += len(body)
            collected += body
            if len(collected) > self._limits.bytes_each:
                raise self._too_large()
            if complete:
                return bytes(collected)
            self._make_room(unfinished)
            body, complete = await self._chunk(receive)
            if unfinished.gives_way:
                # The body was dropped; the part that arrived since is dropped, too.
                raise Throttled

    def _make_room(self, arriving: _Unfinished) -> None:
        """Drop the oldest other unfinished bodies until there is room; raise Throttled if there are none."""
        while self._held > self._limits.bytes_together:
            oldest = next((each for each in self._unfinished if each is not arriving), None)
            if oldest is None:
                raise Throttled
            oldest.gives_way = True
            self._let_go(oldest)
            # If the deadline has passed, the task of this body is already about to be cancelled.
            if not oldest.deadline.expired():
                oldest.deadline.reschedule(asyncio.get_running_loop().time())

    def _let_go(self, unfinished: _Unfinished) -> None:
        if unfinished in self._unfinished:
            del self._unfinished[unfinished]
            self._held -= len(unfinished.collected)
            unfinished.collected.clear()

    async def _chunk(self, receive: Receive) -> tuple[bytes, bool]:
        message = await receive()
        if message["type"] != "http.request":
            raise RequestAborted
        return message["body"], not message["more_body"]

    def _too_large(self) -> RequestTooLarge:
        return RequestTooLarge(f"The body of the request is larger than {self._limits.bytes_each} bytes")


def receive_of(body: bytes, receive: Receive) -> Receive:
    """Return what an application receives of a request whose body was read: the body, then the rest of ``receive``."""
    bodies = [body]

    async def receive_body() -> ReceivedMessage:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        return await receive()

    return receive_body
