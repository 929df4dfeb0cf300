"""Owns a timer that measures the event loop's lag: how long other work waits for the current turn of the loop."""

import asyncio
from collections.abc import Callable
from typing import Final

_EVERY_SECONDS: Final = 0.1


class LoopLag:
    """Reports ten times a second how many seconds late a timer was called."""

    def __init__(self, loop: asyncio.AbstractEventLoop, observe: Callable[[float], None]) -> None:
        self._loop = loop
        self._observe = observe
        self._due_at = 0.0
        self._schedule()

    def stop(self) -> None:
        """Stop measuring."""
        self._timer.cancel()

    def _schedule(self) -> None:
        self._due_at = self._loop.time() + _EVERY_SECONDS
        self._timer = self._loop.call_at(self._due_at, self._measure)

    def _measure(self) -> None:
        self._observe(max(0.0, self._loop.time() - self._due_at))
        self._schedule()
