"""Owns the time limits of a connection to the broker, and its keep-alive times. Sends nothing."""


class BrokerTimeLimits:
    """The times of one connection, checked at each ``advance`` of the data plane, without a timer for each request."""

    __slots__ = ("_answer_seconds", "_has_pinged", "_waits_since", "_wrote_at")

    def __init__(self, answer_seconds: float, now: float) -> None:
        self._answer_seconds = answer_seconds
        self._waits_since: float | None = None
        self._has_pinged = False
        self._wrote_at = now

    def answered(self) -> None:
        """Record that the broker has answered or read."""
        self._waits_since = None

    def ping_answered(self) -> None:
        """Record a PINGRESP."""
        self._has_pinged = False
        self.answered()

    def is_over(self, now: float, *, waits: bool, is_full: bool) -> bool:
        """Return whether an answer, a PINGRESP or the reading of written bytes is overdue.

        While ``is_full``, nothing is read from the broker, so that its silence does not count.
        """
        if is_full or not (waits or self._has_pinged):
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = now
        return self._waits_since is not None and now - self._waits_since > self._answer_seconds

    def must_ping(self, now: float, keep_alive: int, *, has_written: bool) -> bool:
        """Return whether a PINGREQ must be sent now; a ``keep_alive`` of 0 means never."""
        if has_written:
            self._wrote_at = now
        elif keep_alive and not self._has_pinged and now - self._wrote_at > keep_alive / 2:
            self._has_pinged = True
            return True
        return False
