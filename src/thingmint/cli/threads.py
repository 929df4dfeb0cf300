"""Owns work in threads that a cancelled run waits for: no thread writes to a folder whose lock is released."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def to_its_end(work: Callable[[], T]) -> T:
    """Run the work in a thread and return its result; if cancelled, wait for its end, then raise CancelledError."""
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        while not thread.done():
            try:
                await asyncio.wait([thread])
            except asyncio.CancelledError:
                continue
        # Its result is in the folder, which the next run reads.
        if not thread.cancelled():
            thread.exception()
        raise
