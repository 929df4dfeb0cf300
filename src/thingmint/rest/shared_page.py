"""Owns how often a page is rendered and handed out that costs time, however many ask for it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

# Of the time of the event loop, rendering takes at most one part in so many.
_PARTS = 20
# So many callers share a page, because each of them costs something, too: the page is written, and encrypted.
_CALLERS = 8
_REST_SECONDS = 0.02


class SharedPage:
    """Renders a page for those that ask at a time, in the order in which they asked.

    Each caller gets a page whose rendering began after it asked; up to eight share one. After a rendering, the next one
    waits twenty times as long as the first took, and 20 ms at least while others wait.
    """

    def __init__(self, render: Callable[[], bytes], seconds: Callable[[], float] = time.perf_counter) -> None:
        """Take what renders the page at once, and the clock that measures it."""
        self._render = render
        self._seconds = seconds
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._working: asyncio.Task[None] | None = None
        self._rests_until = 0.0

    async def get(self) -> bytes:
        """Return the page; raise what rendering raises."""
        place: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await place

    async def _work(self) -> None:
        """Render until nobody waits."""
        try:
            while self._waiting:
                await asyncio.sleep(max(0.0, self._rests_until - self._seconds()))
                callers = self._next_callers()
                if not callers:
                    return
                began = self._seconds()
                self._answer(callers)
                rest = _PARTS * (self._seconds() - began)
                self._rests_until = self._seconds() + max(rest, _REST_SECONDS if self._waiting else 0.0)
        finally:
            self._working = None

    def _next_callers(self) -> list[asyncio.Future[bytes]]:
        """Return those whose turn it is; those that have left are forgotten."""
        callers: list[asyncio.Future[bytes]] = []
        while self._waiting and len(callers) < _CALLERS:
            caller = self._waiting.popleft()
            if not caller.done():
                callers.append(caller)
        return callers

    def _answer(self, callers: list[asyncio.Future[bytes]]) -> None:
        try:
            page = self._render()
        except Exception as error:  # noqa: BLE001  it is told to all who wait for this page, and to nobody else
            for caller in callers:
                caller.set_exception(error)
        else:
            for caller in callers:
                caller.set_result(page)
