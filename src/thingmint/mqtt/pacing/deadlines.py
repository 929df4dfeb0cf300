"""Owns when accepted connections are looked at again: at the end of their keep-alive time, or of their certificate.

No connection is looked at before its time, so that idle ones cost nothing each second.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Protocol

from thingmint.mqtt.pacing.due_times import DueTimes

# So many connections that have ended may still be listed before they are sorted out.
_OUTDATED: Final = 1000


class Watched(Protocol):
    """A connection whose CONNECT was accepted."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        ...

    @property
    def silent_until(self) -> float:
        """When its client has been silent for too long, by the loop's clock, unless something is heard before."""
        ...

    @property
    def valid_until(self) -> datetime:
        """When its certificate ends, by the clock of certificates."""
        ...

    def enforce_keep_alive(self, now: float) -> None:
        """End the connection if its client has been silent for too long."""
        ...

    def enforce_validity(self, now: datetime) -> None:
        """End the connection if its certificate or claim has ended."""
        ...


class Deadlines:
    """Ends connections when their time is over; ``advance`` is called each second."""

    def __init__(self) -> None:
        self._silence: DueTimes[Watched] = DueTimes()
        self._validity: DueTimes[Watched] = DueTimes()

    def watch(self, connection: Watched) -> None:
        """Look at the connection at its times, until it is over."""
        self._silence.add(connection.silent_until, connection)
        self._validity.add(connection.valid_until.timestamp(), connection)

    def advance(self, now: float, time_of_certificates: datetime, open_connections: Iterable[Watched]) -> None:
        """Look at the connections whose time has come."""
        while (found := self._validity.next_due(time_of_certificates.timestamp())) is not None:
            found[1].enforce_validity(time_of_certificates)
            if not found[1].is_over:
                # The last moment itself is valid.
                self._validity.add(found[0] + 1.0, found[1])
        while (found := self._silence.next_due(now)) is not None:
            self._look_at(found[1], now)
        self._sort_out(open_connections)

    def _look_at(self, connection: Watched, now: float) -> None:
        if connection.is_over:
            return
        connection.enforce_keep_alive(now)
        if not connection.is_over:
            # It was heard meanwhile, or its requests wait here.
            self._silence.add(max(connection.silent_until, now + 1.0), connection)

    def _sort_out(self, open_connections: Iterable[Watched]) -> None:
        listed = max(len(self._silence), len(self._validity))
        if listed <= _OUTDATED:
            return
        present = tuple(open_connections)
        if listed > 2 * len(present) + _OUTDATED:
            self._silence.replace((each.silent_until, each) for each in present)
            self._validity.replace((each.valid_until.timestamp(), each) for each in present)
