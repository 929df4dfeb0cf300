"""Owns the connections without an accepted CONNECT: the progress of each, and which one loses its place to another.

A connection whose handshake continues keeps its place until its time limit, and so does one whose CONNECT waits for the
service. Connections that send nothing lose their places, and so do connections of a network that has more places than
the network of a new connection. Closes nothing.
"""

from collections.abc import Iterator
from enum import Enum, auto
from itertools import takewhile
from typing import Generic, TypeVar

from msgspec import Struct

from thingmint.mqtt.transport.network_counts import NetworkCounts

T = TypeVar("T")


class HandshakeStep(Enum):
    """The progress of a connection."""

    SILENT = auto()
    SHAKING_HANDS = auto()
    ESTABLISHED = auto()
    SENT_CONNECT = auto()
    """The service has to go on, not the client."""


_AFTER_BYTES = {
    HandshakeStep.SILENT: HandshakeStep.SHAKING_HANDS,
    HandshakeStep.SENT_CONNECT: HandshakeStep.ESTABLISHED,
}


class _Progress(Struct):
    network: str
    step: HandshakeStep
    since: float
    """When the step began; its time limit counts from then."""
    heard_at: float


class UnauthenticatedConnections(Generic[T]):
    """The connections that have a place. Every operation takes constant time; times must not decrease."""

    def __init__(self, places: int, silent_for: float) -> None:
        """Take the number of places, and after how many seconds of silence a connection may lose its place."""
        self._places = places
        # A client sends its first bytes at the end of the TCP handshake, and CONNECT at that of TLS.
        self._silent_for = silent_for
        self._progress: dict[T, _Progress] = {}
        # Dictionaries keep the order of insertion: those that were heard last are at the end.
        self._by_step: dict[HandshakeStep, dict[T, None]] = {step: {} for step in HandshakeStep}
        # Those in their handshake and those behind it, in the order in which that began.
        self._handshakes: dict[T, None] = {}
        self._established: dict[T, None] = {}
        self._by_network: dict[str, dict[T, None]] = {}
        self._tally = NetworkCounts()

    def __len__(self) -> int:
        return len(self._progress)

    @property
    def is_full(self) -> bool:
        """Whether no place is free."""
        return len(self._progress) >= self._places

    def networks(self) -> int:
        """Return how many networks have a place."""
        return len(self._tally)

    def add(self, connection: T, network: str, now: float) -> None:
        """Give a place to a connection that has sent nothing yet."""
        self._progress[connection] = _Progress(network, HandshakeStep.SILENT, now, now)
        self._by_step[HandshakeStep.SILENT][connection] = None
        self._handshakes[connection] = None
        self._by_network.setdefault(network, {})[connection] = None
        self._tally.add(network)

    def received(self, connection: T, now: float) -> None:
        """Record that bytes have arrived."""
        progress = self._progress.get(connection)
        if progress is not None:
            self._move(connection, progress, _AFTER_BYTES.get(progress.step, progress.step), now)

    def sent_connect(self, connection: T, now: float) -> None:
        """Record that the service has not handled what has arrived: meanwhile, silence costs no place."""
        progress = self._progress.get(connection)
        if progress is not None:
            self._move(connection, progress, HandshakeStep.SENT_CONNECT, now)

    def established(self, connection: T, now: float) -> None:
        """Record the end of the handshake, from which the time limit of CONNECT counts."""
        progress = self._progress.get(connection)
        if progress is not None:
            progress.since = now
            self._handshakes.pop(connection, None)
            self._established[connection] = None
            self._move(connection, progress, HandshakeStep.ESTABLISHED, now)

    def remove(self, connection: T) -> None:
        """Free the connection's place, if it has one."""
        progress = self._progress.pop(connection, None)
        if progress is None:
            return
        del self._by_step[progress.step][connection]
        self._handshakes.pop(connection, None)
        self._established.pop(connection, None)
        neighbours = self._by_network[progress.network]
        del neighbours[connection]
        if not neighbours:
            del self._by_network[progress.network]
        self._tally.remove(progress.network)

    def gives_way_to(self, network: str, now: float) -> T | None:
        """Return the connection that loses its place to a new one from the network; None if all take precedence.

        In this order: one that has never sent anything; one that is silent after its handshake; the newest of the
        network that has most places, if it has two more than the given network.
        """
        stalled = self.stalled(now)
        if stalled is not None:
            return stalled
        largest = self._tally.largest()
        if largest is None or self._tally.of(largest) < self._tally.of(network) + 2:
            return None
        return next(reversed(self._by_network[largest]))

    def silent(self, before: float) -> T | None:
        """Return a connection that was accepted at ``before`` or earlier and has sent nothing, or None."""
        return self._not_heard_since(HandshakeStep.SILENT, before)

    def has_silent(self) -> bool:
        """Return whether a connection has sent nothing yet."""
        return bool(self._by_step[HandshakeStep.SILENT])

    def go_on(self, before: float) -> bool:
        """Return whether all connections that are not in their handshake have sent something since ``before``."""
        return self.silent(before) is None and self._not_heard_since(HandshakeStep.ESTABLISHED, before) is None

    def stalled(self, now: float) -> T | None:
        """Return a connection that loses its place to any other connection, or None."""
        silent = self._not_heard_since(HandshakeStep.SILENT, now - self._silent_for)
        if silent is not None:
            return silent
        return self._not_heard_since(HandshakeStep.ESTABLISHED, now - self._silent_for)

    def late(self, handshake_before: float, connect_before: float) -> Iterator[T]:
        """Yield the connections whose step began before these times; do not change anything while iterating."""
        for begun, before in ((self._handshakes, handshake_before), (self._established, connect_before)):
            yield from takewhile(lambda connection: self._progress[connection].since <= before, begun)  # noqa: B023  used at once

    def _not_heard_since(self, step: HandshakeStep, before: float) -> T | None:
        first = next(iter(self._by_step[step]), None)
        return first if first is not None and self._progress[first].heard_at <= before else None

    def _move(self, connection: T, progress: _Progress, step: HandshakeStep, now: float) -> None:
        del self._by_step[progress.step][connection]
        progress.step, progress.heard_at = step, now
        self._by_step[step][connection] = None
