"""Owns the time in each turn of the event loop that devices' requests may take, shared by all connections.

If the time is used up, a connection waits for a later turn. Waiting accounts take turns, and connections of one account
are served in order of arrival.
"""

import asyncio
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Final

_TURN_SECONDS: Final = 0.005
# How many connections are woken for a turn depends on the duration of the last turn. The first one always handles one
# request, so that all make progress; the others check the time again.
_FEWEST_AT_ONCE: Final = 2
_MOST_AT_ONCE: Final = 256


class Turns:
    """The time of the current turn, and the connections that wait for the next one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float = _TURN_SECONDS) -> None:
        self._loop = loop
        self._seconds = seconds
        self._ends_at: float | None = None
        self._at_once = _FEWEST_AT_ONCE
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[bool]]] = OrderedDict()
        self._returned: Counter[Hashable] = Counter()

    @property
    def is_over(self) -> bool:
        """Whether the time of this turn is used up."""
        if self._ends_at is None:
            self._begin()
            return False
        return time.perf_counter() >= self._ends_at

    async def later(self, account: Hashable) -> None:
        """Wait for a turn in which one more request may be worked on."""
        is_first = await self._in_line(account)
        while not is_first and self.is_over:
            is_first = await self._in_line(account, keeps_place=True)

    def call_later(self, account: Hashable, go_on: Callable[[], None]) -> None:
        """Call ``go_on`` in a later turn. It checks the time again itself."""
        self._in_line(account).add_done_callback(lambda _: go_on())

    def _in_line(self, account: Hashable, *, keeps_place: bool = False) -> "asyncio.Future[bool]":
        waiter: asyncio.Future[bool] = self._loop.create_future()
        line = self._waiting.setdefault(account, deque())
        if keeps_place:
            # After the connections that were woken before it in this turn, and before all others.
            line.insert(self._returned[account], waiter)
            self._returned[account] += 1
        else:
            line.append(waiter)
        if self._ends_at is None:
            self._begin()
        return waiter

    def _begin(self) -> None:
        self._ends_at = time.perf_counter() + self._seconds
        self._loop.call_soon(self._end)

    def _end(self) -> None:
        # This runs in the next turn of the event loop.
        if self.is_over:
            self._at_once = max(_FEWEST_AT_ONCE, self._at_once // 2)
        else:
            self._at_once = min(_MOST_AT_ONCE, self._at_once * 2)
        self._ends_at = None
        # Accounts whose connections were woken and found no time are next. Otherwise, an account whose connections have
        # many requests would have the first place in each turn.
        for account in reversed(list(self._returned)):
            self._waiting.move_to_end(account, last=False)
        self._returned.clear()
        for number in range(self._at_once):
            if not self._waiting:
                return
            self._wake_one(is_first=number == 0)
        self._begin()

    def _wake_one(self, *, is_first: bool) -> None:
        account = next(iter(self._waiting))
        # The account goes to the end of the queue.
        waiters = self._waiting.pop(account)
        waiter = waiters.popleft()
        if waiters:
            self._waiting[account] = waiters
        if not waiter.done():
            waiter.set_result(is_first)
