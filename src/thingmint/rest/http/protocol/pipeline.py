"""Owns the pipelined requests of a connection: the one being answered, those that wait, and the one still arriving."""

import time
from collections import deque

from thingmint.rest.http.protocol.exchange import Exchange


class Pipeline:
    """The requests of one connection that have begun, in order; they are answered one after the other."""

    __slots__ = ("_waiting", "newest", "running", "running_since")

    def __init__(self) -> None:
        self.running: Exchange | None = None
        """The request that is being answered, or was answered last."""
        self.newest: Exchange | None = None
        """The request whose head arrived last, the only one that may be incomplete."""
        self.running_since = time.monotonic()
        self._waiting: deque[Exchange] = deque()

    def __bool__(self) -> bool:
        """Whether requests wait behind the one that is being answered."""
        return bool(self._waiting)

    @property
    def is_answering(self) -> bool:
        """Whether a response is still incomplete."""
        return self.running is not None and not self.running.is_complete

    @property
    def unfinished(self) -> Exchange | None:
        """The request that is incomplete, or None."""
        newest = self.newest
        return newest if newest is not None and newest.more_body else None

    def put(self, exchange: Exchange) -> bool:
        """Add a request whose head has arrived; return whether it can be answered now."""
        self.newest = exchange
        if self.is_answering:
            self._waiting.append(exchange)
            return False
        return True

    def take(self) -> Exchange:
        """Remove and return the next request that waits; at least one must wait."""
        return self._waiting.popleft()

    def run(self, exchange: Exchange) -> None:
        """Set the request that is being answered."""
        self.running, self.running_since = exchange, time.monotonic()

    def drop_newest(self) -> None:
        """Remove the newest request, which waits and will not be answered."""
        self._waiting.pop()

    def holds_enough(self, body_bytes: int) -> bool:
        """Return whether reading should pause because requests wait, or at least so many bytes of a body."""
        newest = self.newest
        is_full = newest is not None and newest.held_bytes > body_bytes and not newest.is_complete
        return bool(self._waiting) or is_full

    def disconnect(self) -> None:
        """Notify the application that the client has gone, and remove the requests that wait."""
        if self.running is not None and not self.running.is_complete:
            self.running.disconnect()
        self._waiting.clear()
