"""Owns which requests of a connection are being answered, which one is still arriving, and which ones wait between."""

import time
from collections import deque

from thingmint.rest.http.protocol.exchange import Exchange


class Pipeline:
    """The requests of one connection that have begun, in their order; they are answered one after the other."""

    __slots__ = ("_waiting", "newest", "running", "running_since")

    def __init__(self) -> None:
        self.running: Exchange | None = None
        """The request that is being answered, or was answered last."""
        self.newest: Exchange | None = None
        """The request whose head came last: the only one of which a part may be missing."""
        self.running_since = time.monotonic()
        self._waiting: deque[Exchange] = deque()

    def __bool__(self) -> bool:
        """Whether requests wait behind the one that is being answered."""
        return bool(self._waiting)

    @property
    def is_answering(self) -> bool:
        """Whether a response is not complete."""
        return self.running is not None and not self.running.is_complete

    @property
    def unfinished(self) -> Exchange | None:
        """The request of which a part is missing, or None."""
        newest = self.newest
        return newest if newest is not None and newest.more_body else None

    def put(self, exchange: Exchange) -> bool:
        """Take a request whose head has come; return whether it is its turn."""
        self.newest = exchange
        if self.is_answering:
            self._waiting.append(exchange)
            return False
        return True

    def take(self) -> Exchange:
        """Return the request whose turn it is; one must wait."""
        return self._waiting.popleft()

    def run(self, exchange: Exchange) -> None:
        """Make this request the one that is being answered."""
        self.running, self.running_since = exchange, time.monotonic()

    def drop_newest(self) -> None:
        """Forget the request that came last, which waits and is never to be answered."""
        self._waiting.pop()

    def holds_enough(self, body_bytes: int) -> bool:
        """Return whether nothing more should be read: requests wait, or so many bytes of a body do."""
        newest = self.newest
        is_full = newest is not None and newest.held_bytes > body_bytes and not newest.is_complete
        return bool(self._waiting) or is_full

    def disconnect(self) -> None:
        """Tell the application that the client has gone, and forget the requests that wait."""
        if self.running is not None and not self.running.is_complete:
            self.running.disconnect()
        self._waiting.clear()
