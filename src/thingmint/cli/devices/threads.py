"""Owns work in threads that a cancelled run waits for: who lets go of a folder must know that nobody writes in it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def to_its_end(work: Callable[[], T]) -> T:
    """Return what the work returns, done in a thread; if cancelled meanwhile, wait for its end and raise that then."""
    thread = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        while not thread.done():
            try:
                await asyncio.wait([thread])
            except asyncio.CancelledError:
                continue
        # What became of it shows in the folder: the next run reads that.
        if not thread.cancelled():
            thread.exception()
        raise
