"""Owns the order in which items become due, so that no item is examined before its time."""

import heapq
import itertools
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class DueTimes(Generic[T]):
    """Items in the order of their due times. An outdated item stays until its time or until ``replace``."""

    __slots__ = ("_heap", "_numbers")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: float, thing: T) -> None:
        """Add a due time of an item, which may have several."""
        heapq.heappush(self._heap, (at, next(self._numbers), thing))

    def replace(self, things: Iterable[tuple[float, T]]) -> None:
        """Replace all items by these times and items."""
        self._heap = [(at, next(self._numbers), thing) for at, thing in things]
        heapq.heapify(self._heap)

    def next_due(self, now: float) -> tuple[float, T] | None:
        """Remove and return the first item that is due, with its time; None if no item is due yet."""
        if not self._heap or self._heap[0][0] > now:
            return None
        at, _, thing = heapq.heappop(self._heap)
        return at, thing
