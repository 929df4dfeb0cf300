"""Owns the phases of one HTTP connection and the deadline of each. Closes no connections."""

import math
from enum import IntEnum

from thingmint.rest.http.limits import Limits

_NEVER = math.inf


class Phase(IntEnum):
    """What the connection waits for, in the order in which the phases follow.

    From DISCARDING on, received bytes are not parsed.
    """

    ACCEPTED = 0
    """The first byte of the first request."""
    HEAD = 1
    """The rest of a request's head; requests before it may still be being answered."""
    BODY = 2
    """The rest of a request's body."""
    ANSWERING = 3
    """The application's response; every request that has begun is complete."""
    IDLE = 4
    """The first byte of the next request."""
    DISCARDING = 5
    """The application's last responses; bytes from the client are dropped."""
    DRAINING = 6
    """The client, which has to read the last response and close; bytes from it are dropped."""
    CLOSING = 7
    """The client, which has to read the rest of the closing transport's buffer."""


def phase_seconds(limits: Limits) -> tuple[float, ...]:
    """Return the longest duration of each phase in seconds, indexed by its value; infinity while the service works."""
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
    """The phase of a connection and its deadline.

    A body has two limits: one for the whole, and one for the time between two parts. The deadline is the earlier one.
    """

    __slots__ = ("_end", "_seconds", "_stall_seconds", "deadline", "phase")

    def __init__(self, seconds: tuple[float, ...], stall_seconds: float) -> None:
        """Take what `phase_seconds` returns, and the longest time between two parts of a body."""
        self._seconds = seconds
        self._stall_seconds = stall_seconds
        self.phase = Phase.ACCEPTED
        self.deadline = self._end = _NEVER

    def enter(self, phase: Phase, now: float) -> None:
        """Begin a phase; ``now`` is the event loop's time in seconds."""
        self.phase = phase
        self.deadline = self._end = now + self._seconds[phase]
        if phase is Phase.BODY:
            self.bytes_arrive(now)

    def bytes_arrive(self, now: float) -> None:
        """Restart the time limit for the next part of a body."""
        if self.phase is Phase.BODY:
            self.deadline = min(self._end, now + self._stall_seconds)

    def restart(self, now: float) -> None:
        """Restart the phase's whole time limit, because the service did not read."""
        if self.phase in (Phase.HEAD, Phase.BODY):
            self.enter(self.phase, now)
