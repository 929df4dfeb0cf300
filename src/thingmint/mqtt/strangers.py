"""Owns who waits to be admitted, in the order of their last step, and who makes way for the next; closes nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Wait:
    network: str
    since: float


class Strangers(Generic[T]):
    """The waiting, all and by network. Every step costs the same, however many wait."""

    def __init__(self, limit: int, limit_per_network: int) -> None:
        self._limit = limit
        self._limit_per_network = limit_per_network
        # Dictionaries keep the order of insertion, and whoever makes a step is inserted anew.
        self._waits: dict[T, _Wait] = {}
        self._by_network: dict[str, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._waits)

    def add(self, stranger: T, network: str, now: float) -> None:
        """Take in a stranger; times must not decrease from call to call."""
        self._waits[stranger] = _Wait(network, now)
        self._by_network.setdefault(network, {})[stranger] = None

    def restart(self, stranger: T, now: float) -> None:
        """Note that the stranger has made a step."""
        wait = self._waits.get(stranger)
        if wait is not None:
            self.remove(stranger)
            self.add(stranger, wait.network, now)

    def remove(self, stranger: T) -> None:
        """Forget somebody, who may be forgotten already."""
        wait = self._waits.pop(stranger, None)
        if wait is None:
            return
        neighbours = self._by_network[wait.network]
        del neighbours[stranger]
        if not neighbours:
            del self._by_network[wait.network]

    def oldest(self) -> T | None:
        """Return who has waited longest, or None."""
        return next(iter(self._waits), None)

    def in_the_way_of(self, network: str) -> T | None:
        """Return who must go before another of this network is taken in, or None if there is room."""
        neighbours = self._by_network.get(network, {})
        if len(neighbours) >= self._limit_per_network:
            return next(iter(neighbours))
        return self.oldest() if len(self._waits) >= self._limit else None

    def since_before(self, moment: float) -> Iterator[tuple[T, float]]:
        """Yield those who have waited since this moment or longer, and since when; do not change anything meanwhile."""
        waits = ((stranger, wait.since) for stranger, wait in self._waits.items())
        return takewhile(lambda pair: pair[1] <= moment, waits)
