"""Owns server-sent events: the text of an event, the number of streams, and the end of a stream.

A stream ends with its session, after `LASTS_SECONDS` (the browser opens another), or when the browser disconnects.
WHATWG HTML, "Server-sent events".
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

from starlette.responses import StreamingResponse

from thingmint.console.live import Streams
from thingmint.console.visit import Visit

LASTS_SECONDS: Final = 600.0


def event_stream(
    visit: Visit, streams: Streams, events: Callable[[], AsyncGenerator[bytes, None]]
) -> StreamingResponse:
    """Return an answer that sends the events; raise Throttled if there are too many streams."""
    streams.take()
    return StreamingResponse(_bounded(visit, streams, events), media_type="text/event-stream")


async def _bounded(
    visit: Visit, streams: Streams, events: Callable[[], AsyncGenerator[bytes, None]]
) -> AsyncGenerator[bytes, None]:
    ends_at = time.monotonic() + LASTS_SECONDS
    try:
        async with contextlib.aclosing(events()) as made:
            async for event in made:
                # The session may have ended since the last event.
                if await visit.services.sessions.find(visit.signed_in.token, is_use=False) is None:
                    yield written("ended", "")
                    return
                yield event
                if time.monotonic() >= ends_at:
                    return
    finally:
        streams.give_back()


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
