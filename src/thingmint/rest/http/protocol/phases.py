"""Owns the phases of one HTTP connection and the deadline of each; closes nothing."""

import math
from enum import IntEnum

from thingmint.rest.http.limits import Limits

_NEVER = math.inf


class Phase(IntEnum):
    """What the connection waits for, in the order of a connection's life.

    From DISCARDING on, what arrives is not parsed any more.
    """

    ACCEPTED = 0
    """The first byte of the first request."""
    HEAD = 1
    """The rest of a request's head; requests before it may still be being answered."""
    BODY = 2
    """The rest of a request's body."""
    ANSWERING = 3
    """The application: every request that has begun is here as a whole."""
    IDLE = 4
    """The first byte of the next request."""
    DISCARDING = 5
    """The application, for the last answers; what the client sends meanwhile is dropped."""
    DRAINING = 6
    """The client, which is to read the last answer and to close; what it sends is dropped."""
    CLOSING = 7
    """The client, which is to read what is left in the buffers of a transport that closes."""


def phase_seconds(limits: Limits) -> tuple[float, ...]:
    """Return how long each phase may last, at the index that is its value; infinity where the service is at work."""
    seconds = {
        Phase.ACCEPTED: limits.header_seconds,
        Phase.HEAD: limits.header_seconds,
        Phase.BODY: limits.body_seconds,
        Phase.ANSWERING: _NEVER,
        Phase.IDLE: limits.keep_alive_seconds,
        Phase.DISCARDING: _NEVER,
        Phase.DRAINING: limits.linger_seconds,
        Phase.CLOSING: limits.close_seconds,
    }
    return tuple(seconds[phase] for phase in Phase)


class PhaseClock:
    """The phase of a connection and the moment at which it is over.

    A body has two limits, one for the whole and one for the time between its parts; the deadline is the nearer one.
    """

    __slots__ = ("_end", "_seconds", "_stall_seconds", "deadline", "phase")

    def __init__(self, seconds: tuple[float, ...], stall_seconds: float) -> None:
        """Take what `phase_seconds` returns, and the longest time between two parts of a body."""
        self._seconds = seconds
        self._stall_seconds = stall_seconds
        self.phase = Phase.ACCEPTED
        self.deadline = self._end = _NEVER

    def enter(self, phase: Phase, now: float) -> None:
        """Begin a phase; ``now`` is a time of the loop, in seconds."""
        self.phase = phase
        self.deadline = self._end = now + self._seconds[phase]
        if phase is Phase.BODY:
            self.bytes_arrive(now)

    def bytes_arrive(self, now: float) -> None:
        """Give the next part of a body its time."""
        if self.phase is Phase.BODY:
            self.deadline = min(self._end, now + self._stall_seconds)

    def restart(self, now: float) -> None:
        """Give the client its whole time again, because the service did not read."""
        if self.phase in (Phase.HEAD, Phase.BODY):
            self.enter(self.phase, now)
