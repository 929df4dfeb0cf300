"""Owns how often a page is rendered that costs time, however many ask for it."""

import asyncio
import time
from collections.abc import Callable

# Of the time of the event loop, rendering takes at most one part in so many.
_PARTS = 20
# More than these do not wait for a new page: each of them takes the place of another request.
_MOST_WAITING = 32


class SharedPage:
    """Renders a page for all that ask at a time.

    Each caller gets a page whose rendering began after it asked; several share one. After a rendering, the next one
    waits twenty times as long as the first took. Callers beyond the first 32 that wait get the last page.
    """

    def __init__(self, render: Callable[[], bytes], seconds: Callable[[], float] = time.perf_counter) -> None:
        """Take what renders the page at once, and the clock that measures it."""
        self._render = render
        self._seconds = seconds
        self._page: bytes | None = None
        self._waiting = 0
        self._next: asyncio.Task[bytes] | None = None
        self._rests_until = 0.0

    async def get(self) -> bytes:
        """Return the page; raise what rendering raises."""
        if self._waiting >= _MOST_WAITING and self._page is not None:
            return self._page
        if self._next is None:
            self._next = asyncio.create_task(self._render_next())
        self._waiting += 1
        try:
            # One that leaves must not take the page from the others.
            return await asyncio.shield(self._next)
        finally:
            self._waiting -= 1

    async def _render_next(self) -> bytes:
        await asyncio.sleep(max(0.0, self._rests_until - self._seconds()))
        self._next = None
        began = self._seconds()
        self._page = self._render()
        ended = self._seconds()
        self._rests_until = ended + _PARTS * (ended - began)
        return self._page
