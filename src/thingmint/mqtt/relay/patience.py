"""Owns for how long the relay waits for the broker, and when it must show that a device is there; sends nothing."""


class BrokerPatience:
    """Time of one connection, in steps of the data plane's ``advance``: waiting costs no timer for each request."""

    __slots__ = ("_answer_seconds", "_has_pinged", "_waits_since", "_wrote_at")

    def __init__(self, answer_seconds: float, now: float) -> None:
        self._answer_seconds = answer_seconds
        self._waits_since: float | None = None
        self._has_pinged = False
        self._wrote_at = now

    def heard(self) -> None:
        """Note that the broker goes on: it has answered or read."""
        self._waits_since = None

    def ping_answered(self) -> None:
        """Note a PINGRESP."""
        self._has_pinged = False
        self.heard()

    def is_over(self, now: float, *, waits: bool, is_full: bool) -> bool:
        """Return whether the broker has let an answer, a PINGRESP or what is written wait for too long.

        While the device is full nothing is read from the broker, so that its silence says nothing.
        """
        if is_full or not (waits or self._has_pinged):
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = now
        return self._waits_since is not None and now - self._waits_since > self._answer_seconds

    def must_ping(self, now: float, keep_alive: int, *, has_written: bool) -> bool:
        """Return whether the broker must hear something now; 0 is no keep-alive."""
        if has_written:
            self._wrote_at = now
        elif keep_alive and not self._has_pinged and now - self._wrote_at > keep_alive / 2:
            self._has_pinged = True
            return True
        return False
