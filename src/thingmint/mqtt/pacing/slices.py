"""Owns work that many connections of one event loop cause at once: it is done in time slices, in order of arrival."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from thingmint.registration.kernel.turns import Pace

log = logging.getLogger(__name__)


class Slices:
    """Calls functions in a later turn of the event loop: as many as one slice has time for, and the rest in others."""

    __slots__ = ("_is_due", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], object]] = deque()
        self._is_due = False

    def add(self, call: Callable[[], object]) -> None:
        """Call the function after those that already wait."""
        self._waiting.append(call)
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting and not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._is_due = False
        pace = Pace()
        while self._waiting:
            call = self._waiting.popleft()
            try:
                call()
            except Exception:
                # The other connections must still be served.
                log.exception("the work of a connection failed")
            if pace.is_over:
                break
        self._go_on()
