"""Owns how computations share the event loop: one at a time, in slices of two milliseconds.

A computation is a generator that yields about once a millisecond or more often, where it can be interrupted.
Computations that wait for their next slice run in the order in which they began to wait.
"""

import asyncio
import time
from collections.abc import Callable, Generator
from typing import Final, TypeVar

T = TypeVar("T")

# A computation that ends within this time does not wait for others.
_FIRST_SECONDS: Final = 0.001
SLICE_SECONDS: Final = 0.002


class Pace:
    """Interrupts a loop that may never wait, for instance one whose reads return at once."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begin the first slice."""
        self._clock = clock
        self._end = clock() + SLICE_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether the slice is over."""
        return self._clock() >= self._end

    async def rest(self) -> bool:
        """If the slice is over, let the event loop run and begin another slice; return whether it was over."""
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
        """Run the steps in slices; return what they return and raise what they raise.

        The event loop runs between two slices. If the caller is cancelled, the remaining steps do not run.
        """
        try:
            self._advance(steps, _FIRST_SECONDS)
            await asyncio.sleep(0)
            while True:
                async with self._lock:
                    self._advance(steps, SLICE_SECONDS)
                    # The lock is held until the next iteration of the loop, so no other slice runs in this one.
                    await asyncio.sleep(0)
        except StopIteration as end:
            value: T = end.value
            return value

    def _advance(self, steps: Generator[None, None, object], seconds: float) -> None:
        """Run steps for this many seconds; raise StopIteration when they have ended."""
        end = self._clock() + seconds
        while self._clock() < end:
            next(steps)
