"""Owns the deadlines of accepted connections: the end of the keep-alive time, and the end of the certificate.

A connection is not examined before its deadline, so that idle connections cost no time each second.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Final, Protocol

from thingmint.mqtt.pacing.due_times import DueTimes

# How many ended connections may still be in the list before they are removed.
_OUTDATED: Final = 1000


class Watched(Protocol):
    """A connection whose CONNECT was accepted."""

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended."""
        ...

    @property
    def silent_until(self) -> float:
        """The event loop's time at which the client will have been silent for too long if it sends nothing more."""
        ...

    @property
    def valid_until(self) -> datetime:
        """When the certificate expires, by the clock of certificates."""
        ...

    def enforce_keep_alive(self, now: float) -> None:
        """End the connection if its client has been silent for too long."""
        ...

    def enforce_validity(self, now: datetime) -> None:
        """End the connection if its certificate or claim has expired."""
        ...


class Deadlines:
    """Ends connections at their deadlines; ``advance`` is called each second."""

    def __init__(self) -> None:
        self._silence: DueTimes[Watched] = DueTimes()
        self._validity: DueTimes[Watched] = DueTimes()

    def watch(self, connection: Watched) -> None:
        """Examine the connection at its deadlines until it has ended."""
        self._silence.add(connection.silent_until, connection)
        self._validity.add(connection.valid_until.timestamp(), connection)

    def advance(
        self,
        now: float,
        time_of_certificates: datetime,
        open_connections: Collection[Watched],
        is_over: Callable[[], bool],
    ) -> bool:
        """Examine the connections whose deadlines have passed, until ``is_over``; return whether none is left."""
        while (found := self._validity.next_due(time_of_certificates.timestamp())) is not None:
            found[1].enforce_validity(time_of_certificates)
            if not found[1].is_over:
                # The certificate is still valid at its last moment.
                self._validity.add(found[0] + 1.0, found[1])
            if is_over():
                return False
        while (found := self._silence.next_due(now)) is not None:
            self._look_at(found[1], now)
            if is_over():
                return False
        self._sort_out(open_connections)
        return True

    def _look_at(self, connection: Watched, now: float) -> None:
        if connection.is_over:
            return
        connection.enforce_keep_alive(now)
        if not connection.is_over:
            # The client has sent something meanwhile, or its requests wait in this process.
            self._silence.add(max(connection.silent_until, now + 1.0), connection)

    def _sort_out(self, open_connections: Collection[Watched]) -> None:
        if max(len(self._silence), len(self._validity)) > 2 * len(open_connections) + _OUTDATED:
            present = tuple(open_connections)
            self._silence.replace((each.silent_until, each) for each in present)
            self._validity.replace((each.valid_until.timestamp(), each) for each in present)
