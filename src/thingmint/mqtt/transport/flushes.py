"""Owns the writers that have packets to send at the end of a turn of the event loop.

One callback sends for all of them, because a callback for each would cost as much as the packet itself.
"""

import asyncio
import logging
from typing import Protocol

log = logging.getLogger(__name__)


class Flushable(Protocol):
    """A writer with waiting packets."""

    def flush_on_time(self) -> None:
        """Send the packets."""
        ...


class Flushes:
    """The writers of one event loop that wait for the end of the turn, in the order of their first packets."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Flushable] = []

    def add(self, writer: Flushable) -> None:
        """Call the writer once, in the event loop's next turn."""
        if not self._waiting:
            self._loop.call_soon(self._run)
        self._waiting.append(writer)

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, []
        for writer in waiting:
            try:
                writer.flush_on_time()
            except Exception:
                # The other connections must still get their packets.
                log.exception("the packets of a connection could not be sent")
