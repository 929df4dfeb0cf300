"""Owns the limit on how often an expensive page is rendered and sent, for any number of callers."""

import asyncio
import time
from collections import deque
from collections.abc import Callable

# Rendering takes at most one part in this many of the event loop's time.
_PARTS = 20
# How many callers share a page. The number is limited, because sending and encrypting a page costs time, too.
_CALLERS = 8
_REST_SECONDS = 0.02


class SharedPage:
    """Renders a page for the callers that wait, in their order of arrival.

    Each caller gets a page whose rendering began after its request; up to eight callers share one. The pause after a
    rendering is twenty times its duration, and at least 20 ms while other callers wait.
    """

    def __init__(self, render: Callable[[], bytes], seconds: Callable[[], float] = time.perf_counter) -> None:
        """Take the function that renders the page, without waiting, and the clock that measures it."""
        self._render = render
        self._seconds = seconds
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._working: asyncio.Task[None] | None = None
        self._rests_until = 0.0

    async def get(self) -> bytes:
        """Return the page; raises the errors of rendering."""
        place: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await place

    async def _work(self) -> None:
        """Render until no caller waits."""
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
        """Return the next callers to serve; remove those that have gone."""
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
