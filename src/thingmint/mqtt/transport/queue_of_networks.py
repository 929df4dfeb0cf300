"""Owns the queue of accepted connections that wait for a place; networks take turns. Starts and closes nothing."""

from collections import deque
from typing import Generic, TypeVar

from thingmint.mqtt.transport.network_counts import NetworkCounts

T = TypeVar("T")


class QueueOfNetworks(Generic[T]):
    """In order of arrival within a network; networks take turns."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # In the order of their turns.
        self._waiting: dict[str, deque[T]] = {}
        self._tally = NetworkCounts()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether the queue is full."""
        return self._count >= self._limit

    def networks(self) -> int:
        """Return how many networks wait."""
        return len(self._waiting)

    def of(self, network: str) -> int:
        """Return how many connections of the network wait."""
        return self._tally.of(network)

    def put(self, item: T, network: str) -> None:
        """Add a connection."""
        self._waiting.setdefault(network, deque()).append(item)
        self._tally.add(network)
        self._count += 1

    def take(self) -> tuple[T, str]:
        """Remove and return the next connection and its network; the queue must not be empty."""
        network = next(iter(self._waiting))
        return self.take_of(network), network

    def take_of(self, network: str) -> T:
        """Remove and return the network's longest waiting connection; the network's next turn is after all others."""
        line = self._waiting.pop(network)
        item = line.popleft()
        if line:
            self._waiting[network] = line
        self._tally.remove(network)
        self._count -= 1
        return item

    def take_back(self, network: str) -> T | None:
        """Remove and return the newest connection of the largest network, if it has two more than the given network."""
        largest = self._tally.largest()
        if largest is None or self._tally.of(largest) < self._tally.of(network) + 2:
            return None
        line = self._waiting[largest]
        item = line.pop()
        if not line:
            del self._waiting[largest]
        self._tally.remove(largest)
        self._count -= 1
        return item
