"""Owns work that many connections of one event loop cause at once: it is done in time slices, in order of arrival."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable

from thingmint.registration.kernel import turns

log = logging.getLogger(__name__)


class Slices:
    """Calls functions in a later turn of the event loop: as many as one slice has time for, and the rest in others.

    While functions wait, a slice is as long as the loop took for all else since the last slice, within the limits.
    So they get half of the time if the loop has much else to do.
    """

    __slots__ = ("_ended_at", "_is_due", "_longest", "_loop", "_urgent", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop, longest: float = 0.0) -> None:
        """Take the limit of a slice in seconds, if it may be longer than the shortest."""
        self._loop = loop
        self._longest = longest
        self._waiting: deque[Callable[[], object]] = deque()
        self._urgent: deque[Callable[[], object]] = deque()
        self._is_due = False
        self._ended_at: float | None = None

    def add(self, call: Callable[[], object], *, is_urgent: bool = False) -> None:
        """Call the function after those that already wait; if it is urgent, after the urgent ones only."""
        (self._urgent if is_urgent else self._waiting).append(call)
        self._go_on()

    @property
    def _has_more(self) -> bool:
        return bool(self._waiting or self._urgent)

    def _go_on(self) -> None:
        if self._has_more and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._is_due = False
        began = time.perf_counter()
        all_else = 0.0 if self._ended_at is None else began - self._ended_at
        end = began + max(turns.SLICE_SECONDS, min(all_else, self._longest))
        while self._has_more:
            call = (self._urgent or self._waiting).popleft()
            try:
                call()
            except Exception:
                # The other connections must still be served.
                log.exception("the work of a connection failed")
            if time.perf_counter() >= end:
                break
        self._ended_at = time.perf_counter() if self._has_more else None
        self._go_on()
