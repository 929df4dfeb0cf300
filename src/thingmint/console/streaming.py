"""Owns server-sent events: the text of an event, the number of streams, and the end of a stream.

A stream ends with its session, after `LASTS_SECONDS` (the browser opens another), or when the browser disconnects.
WHATWG HTML, "Server-sent events".
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from thingmint.console.live import Streams
from thingmint.console.visit import Visit

LASTS_SECONDS: Final = 600.0
_MEDIA_TYPE: Final = "text/event-stream"


def event_stream(visit: Visit, streams: Streams, events: Callable[[], AsyncGenerator[bytes, None]]) -> Response:
    """Return an answer that sends the events; raise Throttled if there are too many streams.

    The answer to a HEAD request is only the head.
    """
    if visit.request.method == "HEAD":
        return Response(media_type=_MEDIA_TYPE)
    account = visit.caller.account
    streams.take(account)
    return _EventStream(_bounded(visit, events), lambda: streams.give_back(account))


class _EventStream(StreamingResponse):
    """Calls ``ended`` at the end, also if the client has gone before the first event was made."""

    def __init__(self, events: AsyncGenerator[bytes, None], ended: Callable[[], None]) -> None:
        super().__init__(events, media_type=_MEDIA_TYPE)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _bounded(visit: Visit, events: Callable[[], AsyncGenerator[bytes, None]]) -> AsyncGenerator[bytes, None]:
    ends_at = time.monotonic() + LASTS_SECONDS
    async with contextlib.aclosing(events()) as made:
        async for event in made:
            # The session may have ended since the last event.
            if await visit.services.sessions.find(visit.signed_in.token, is_use=False) is None:
                yield written("ended", "")
                return
            yield event
            if time.monotonic() >= ends_at:
                return


def written(kind: str, text: str) -> bytes:
    """Return an event with a text of any number of lines."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"event: {kind}\n{lines}\n".encode()


STILL_HERE: Final = b": still here\n\n"
"""A comment, so that proxies between the browser and the node do not end an idle connection."""


async def ticks(seconds: float, make: Callable[[], Awaitable[bytes]]) -> AsyncGenerator[bytes, None]:
    """Yield an event now and then one every ``seconds``."""
    while True:
        yield await make()
        await asyncio.sleep(seconds)
