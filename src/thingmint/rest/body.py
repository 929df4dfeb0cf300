"""Owns the reading of request bodies within limits of size, time and memory; knows nothing of what they hold."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from uvicorn._types import ASGIReceiveCallable

from thingmint.api.errors import RequestTooLarge, RequestTooSlow
from thingmint.core.errors import Throttled


class ClientDisconnected(Exception):
    """The client left before its request was complete: there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What bodies may take: each of them, in bytes and seconds, and all that are being received, in bytes."""

    bytes_each: int = 1024 * 1024
    bytes_together: int = 64 * 1024 * 1024
    seconds: float = 60.0


class BodyReader:
    """Reads bodies, and knows how many bytes of unfinished ones it holds."""

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        self._held = 0

    async def read(self, headers: Iterable[tuple[bytes, bytes]], receive: ASGIReceiveCallable) -> bytes:
        """Return the whole body.

        Raises RequestTooLarge, RequestTooSlow, Throttled if unfinished bodies fill the memory set aside for them, and
        ClientDisconnected.
        """
        for name, value in headers:
            if name == b"content-length" and int(value) > self._limits.bytes_each:
                raise self._too_large()
        # Mostly the whole body is there, and a timer would cost more than reading it. Until anything of it is, the
        # connection's own limits apply.
        body, complete = await self._chunk(receive)
        if complete and len(body) <= self._limits.bytes_each:
            return body
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._collect(receive, body, complete=complete)
        except TimeoutError:
            raise RequestTooSlow("The body of the request was not received in time") from None

    async def _collect(self, receive: ASGIReceiveCallable, body: bytes, *, complete: bool) -> bytes:
        collected = bytearray()
        try:
            while True:
                self._held += len(body)
                collected += body
                if len(collected) > self._limits.bytes_each:
                    raise self._too_large()
                if complete:
                    return bytes(collected)
                if self._held > self._limits.bytes_together:
                    raise Throttled
                body, complete = await self._chunk(receive)
        finally:
            self._held -= len(collected)

    async def _chunk(self, receive: ASGIReceiveCallable) -> tuple[bytes, bool]:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientDisconnected
        return message["body"], not message["more_body"]

    def _too_large(self) -> RequestTooLarge:
        return RequestTooLarge(f"The body of the request is larger than {self._limits.bytes_each} bytes")
