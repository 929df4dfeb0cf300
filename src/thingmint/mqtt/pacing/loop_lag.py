"""Owns a timer that measures how late the event loop is: what one turn takes, everything else waits for."""

import asyncio
from collections.abc import Callable
from typing import Final

_EVERY_SECONDS: Final = 0.1


class LoopLag:
    """Tells ten times a second how many seconds after its time a timer was called."""

    def __init__(self, loop: asyncio.AbstractEventLoop, observe: Callable[[float], None]) -> None:
        self._loop = loop
        self._observe = observe
        self._due_at = 0.0
        self._schedule()

    def stop(self) -> None:
        """Measure no more."""
        self._timer.cancel()

    def _schedule(self) -> None:
        self._due_at = self._loop.time() + _EVERY_SECONDS
        self._timer = self._loop.call_at(self._due_at, self._measure)

    def _measure(self) -> None:
        self._observe(max(0.0, self._loop.time() - self._due_at))
        self._schedule()
