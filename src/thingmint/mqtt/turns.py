"""Owns how much of a turn of the event loop the requests of devices may take: a time, shared by all connections.

A connection that finds the time used up waits for a later turn. Accounts take turns in waiting, and connections of one
account are served in the order in which they came.
"""

import asyncio
import time
from collections import deque
from collections.abc import Hashable
from typing import Final

_TURN_SECONDS: Final = 0.005
# Each of those that go on in a turn does one request at least, so that all get on. How many go on follows from how
# long the last turn took.
_FEWEST_AT_ONCE: Final = 2
_MOST_AT_ONCE: Final = 256


class Turns:
    """The time of the current turn, and who waits for the next."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float = _TURN_SECONDS) -> None:
        self._loop = loop
        self._seconds = seconds
        self._ends_at: float | None = None
        self._at_once = _FEWEST_AT_ONCE
        self._waiting: dict[Hashable, deque[asyncio.Future[None]]] = {}

    @property
    def is_over(self) -> bool:
        """Whether the time of this turn is used up."""
        if self._ends_at is None:
            self._begin()
            return False
        return time.perf_counter() >= self._ends_at

    async def later(self, account: Hashable) -> None:
        """Wait for a turn in which one more request may be worked on."""
        waiter = self._loop.create_future()
        self._waiting.setdefault(account, deque()).append(waiter)
        if self._ends_at is None:
            self._begin()
        await waiter

    def _begin(self) -> None:
        self._ends_at = time.perf_counter() + self._seconds
        self._loop.call_soon(self._end)

    def _end(self) -> None:
        # Called in the next turn of the loop.
        if self.is_over:
            self._at_once = max(_FEWEST_AT_ONCE, self._at_once // 2)
        else:
            self._at_once = min(_MOST_AT_ONCE, self._at_once * 2)
        self._ends_at = None
        for _ in range(self._at_once):
            if not self._waiting:
                return
            self._wake_one()
        self._begin()

    def _wake_one(self) -> None:
        account = next(iter(self._waiting))
        # The account goes to the end of the line.
        waiters = self._waiting.pop(account)
        waiter = waiters.popleft()
        if waiters:
            self._waiting[account] = waiters
        if not waiter.done():
            waiter.set_result(None)
