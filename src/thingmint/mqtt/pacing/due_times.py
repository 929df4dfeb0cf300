"""Owns the order in which things become due, so that none is looked at before its time."""

import heapq
import itertools
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class DueTimes(Generic[T]):
    """Things by the time at which they are due. What is not wanted any more stays until its time or ``replace``."""

    __slots__ = ("_heap", "_numbers")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: float, thing: T) -> None:
        """Set when the thing is due; it may be due at several times."""
        heapq.heappush(self._heap, (at, next(self._numbers), thing))

    def replace(self, things: Iterable[tuple[float, T]]) -> None:
        """Forget everything but these times and things."""
        self._heap = [(at, next(self._numbers), thing) for at, thing in things]
        heapq.heapify(self._heap)

    def next_due(self, now: float) -> tuple[float, T] | None:
        """Remove and return what is due first, and when it was due; None if nothing is due yet."""
        if not self._heap or self._heap[0][0] > now:
            return None
        at, _, thing = heapq.heappop(self._heap)
        return at, thing
