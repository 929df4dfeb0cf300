"""Owns the time limits of one HTTP connection: which of them run, and when each is over; closes nothing."""

import math
from collections.abc import Callable

from thingmint.rest.http.limits import Limits

_NEVER = math.inf


class HttpDeadlines:
    """A deadline for each thing that a client may take too long for; none of them runs at first."""

    __slots__ = ("_body", "_close", "_head", "_idle", "_limits", "_now", "_stall", "_write")

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        """Take the limits, and the clock by which they are measured."""
        self._limits = limits
        self._now = now
        self._head = self._body = self._stall = _NEVER
        self._write = self._close = self._idle = _NEVER

    # What runs

    def connected(self) -> None:
        """Wait for the first byte of the first request."""
        self._idle = self._now() + self._limits.header_seconds

    def head_begins(self) -> None:
        """Wait for the rest of a request's head."""
        self._idle = _NEVER
        self._head = self._now() + self._limits.header_seconds

    def head_ends(self) -> None:
        """Wait for the body, which may be empty."""
        now = self._now()
        self._head = _NEVER
        self._body = now + self._limits.body_seconds
        self._stall = now + self._limits.body_stall_seconds

    def bytes_arrive(self) -> None:
        """Give the next part of a body its time."""
        if self._body != _NEVER:
            self._stall = self._now() + self._limits.body_stall_seconds

    def body_ends(self) -> None:
        """Wait for no more of the request."""
        self._body = self._stall = _NEVER

    def request_is_dropped(self) -> None:
        """Wait for no more of a request that is refused."""
        self._head = self._body = self._stall = _NEVER

    def next_request(self) -> None:
        """Wait for the first byte of another request."""
        self._idle = self._now() + self._limits.keep_alive_seconds

    def lingers(self) -> None:
        """Wait for the client to read the last answer and to close."""
        self.request_is_dropped()
        self._idle = self._now() + self._limits.linger_seconds

    def client_stops_reading(self) -> None:
        """Wait for the client to read what is written."""
        self._write = self._now() + self._limits.write_stall_seconds

    def client_reads(self) -> None:
        """Wait for nothing to be read."""
        self._write = _NEVER

    def restart_reading(self, now: float) -> None:
        """Give a client its whole time again where the service did not read."""
        if self._head != _NEVER:
            self._head = now + self._limits.header_seconds
        if self._body != _NEVER:
            self._body = now + self._limits.body_seconds
            self._stall = now + self._limits.body_stall_seconds

    # What is over

    def is_unread_too_long(self, now: float) -> bool:
        """Return whether the client has not read in time."""
        return now > self._write

    def is_idle_too_long(self, now: float) -> bool:
        """Return whether no request has begun in time."""
        return now > self._idle

    def is_request_too_slow(self, now: float) -> bool:
        """Return whether a head, a body or a part of a body has not come in time."""
        return now > min(self._head, self._body, self._stall)

    def is_close_too_slow(self, now: float) -> bool:
        """Return whether a connection that closes has had its time, which begins with the first question."""
        if self._close == _NEVER:
            self._close = now + self._limits.close_seconds
        return now > self._close
