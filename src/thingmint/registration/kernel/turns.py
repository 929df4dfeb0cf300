"""Owns how long computations share the event loop: one of them at a time, for two milliseconds in each turn.

Refuses to know what is computed. A computation is a generator that yields where it can be interrupted, at least about
once a millisecond. Those that wait for their next slice are served in the order in which they began to wait.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from typing import Final, TypeVar

T = TypeVar("T")

# What ends within this time does not wait for others.
_FIRST_SECONDS: Final = 0.001
SLICE_SECONDS: Final = 0.002


class Pace:
    """Interrupts a loop that may never wait, such as one of reads that are answered at once."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin the first slice."""
        self._clock = clock
        self._end = clock() + SLICE_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether the slice is over."""
        return self._clock() >= self._end

    async def rest(self) -> bool:
        """Let the event loop go on if the slice is over, and begin another; return whether it was over."""
        if not self.is_over:
            return False
        await asyncio.sleep(0)
        self._end = self._clock() + SLICE_SECONDS
        return True


class Computations:
    """Runs computations in slices; belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lock = asyncio.Lock()

    async def run(self, steps: Generator[None, None, T]) -> T:
        """Return what the steps return, and raise what they raise.

        The event loop has a turn of its own between two slices. If the caller is cancelled, the steps are not finished.
        """
        try:
            self._advance(steps, _FIRST_SECONDS)
            await asyncio.sleep(0)
            while True:
                async with self._lock:
                    self._advance(steps, SLICE_SECONDS)
                    # The lock is held until the next turn of the loop, so no other slice is in this one.
                    await asyncio.sleep(0)
        except StopIteration as end:
            value: T = end.value
            return value

    def _advance(self, steps: Generator[None, None, object], seconds: float) -> None:
        """Take steps for so long; raise StopIteration when they have ended."""
        end = self._clock() + seconds
        while self._clock() < end:
            next(steps)
