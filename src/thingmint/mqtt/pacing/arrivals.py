"""Owns the time in each turn of the event loop for what connections have received, so that a fleet that sends at the
same moment does not keep everything else waiting.

The event loop reads from all sockets that are ready in one turn. What is received first is handled at once. After the
time is used up, connections wait for later turns: accounts take turns, and connections of one account are served in
order of arrival.
"""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

log = logging.getLogger(__name__)


class Arrivals:
    """The time of the current turn, and the connections that wait for a later one."""

    __slots__ = ("_ends_at", "_loop", "_seconds", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        """Handle what has arrived for so many seconds of a turn."""
        self._loop = loop
        self._seconds = seconds
        self._ends_at: float | None = None
        # The first account has the next turn.
        self._waiting: OrderedDict[Hashable, deque[Callable[[], object]]] = OrderedDict()

    @property
    def has_time(self) -> bool:
        """Whether what has just arrived may be handled now: there is time left in this turn, and nothing waits."""
        if self._ends_at is None:
            self._begin()
            return True
        return not self._waiting and time.perf_counter() < self._ends_at

    def add(self, account: Hashable, handle: Callable[[], object]) -> None:
        """Call the function in a later turn."""
        line = self._waiting.get(account)
        if line is None:
            line = self._waiting[account] = deque()
        line.append(handle)
        if self._ends_at is None:
            self._begin()

    def _begin(self) -> float:
        self._ends_at = ends_at = time.perf_counter() + self._seconds
        self._loop.call_soon(self._go_on)
        return ends_at

    def _go_on(self) -> None:
        # This runs in the next turn of the event loop.
        if not self._waiting:
            self._ends_at = None
            return
        ends_at = self._begin()
        while self._waiting:
            handle = self._next()
            try:
                handle()
            except Exception:
                # The other connections must still be served.
                log.exception("what a connection has received could not be handled")
            if time.perf_counter() >= ends_at:
                return

    def _next(self) -> Callable[[], object]:
        account, line = next(iter(self._waiting.items()))
        handle = line.popleft()
        if line:
            self._waiting.move_to_end(account)
        else:
            del self._waiting[account]
        return handle
