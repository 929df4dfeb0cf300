"""Owns the number of connections of each network, and which network has most; in constant time."""


class NetworkCounts:
    """Counts by network."""

    __slots__ = ("_by_count", "_counts", "_most")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        # Networks by their count, each group in the order in which they came to it.
        self._by_count: dict[int, dict[str, None]] = {}
        self._most = 0

    def __len__(self) -> int:
        return len(self._counts)

    def of(self, network: str) -> int:
        """Return the network's count."""
        return self._counts.get(network, 0)

    def largest(self) -> str | None:
        """Return a network that has most, or None."""
        return next(iter(self._by_count[self._most])) if self._counts else None

    def add(self, network: str) -> None:
        """Increase the network's count."""
        self._set(network, self.of(network) + 1)

    def remove(self, network: str) -> None:
        """Decrease the network's count."""
        self._set(network, self._counts[network] - 1)

    def _set(self, network: str, count: int) -> None:
        before = self._counts.pop(network, 0)
        if before:
            group = self._by_count[before]
            del group[network]
            if not group:
                del self._by_count[before]
        if count:
            self._counts[network] = count
            self._by_count.setdefault(count, {})[network] = None
        if self._most not in self._by_count or count > self._most:
            # Counts change by one, so the next largest is one more or one less.
            self._most = max(count, before - 1)
