"""Owns which connections are on their way to CONNECT, how far each has come, and which one gives its place to another.

A connection that goes on with its handshake keeps its place until its time limit. Places are taken back from those that
send nothing, and from a network that has more of them than another that asks. Closes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import takewhile
from typing import Generic, TypeVar

from thingmint.mqtt.transport.tally import Tally

T = TypeVar("T")


class HandshakeStep(Enum):
    """How far a connection has come."""

    SILENT = auto()
    SHAKING_HANDS = auto()
    ESTABLISHED = auto()


@dataclass(slots=True)
class _Progress:
    network: str
    step: HandshakeStep
    since: float
    """When the step began, which its time limit counts from."""
    heard_at: float


class Strangers(Generic[T]):
    """Those that have a place. Every step costs the same, however many there are; times must not decrease."""

    def __init__(self, places: int, silent_for: float) -> None:
        """Take the place of a connection back after so many seconds of silence, if another needs it."""
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
        self._tally = Tally()

    def __len__(self) -> int:
        return len(self._progress)

    @property
    def is_full(self) -> bool:
        """Whether no place is free."""
        return len(self._progress) >= self._places

    def networks(self) -> int:
        """Return how many networks have a place."""
        return len(self._tally)

    def add(self, stranger: T, network: str, now: float) -> None:
        """Give a place to a connection that has sent nothing yet."""
        self._progress[stranger] = _Progress(network, HandshakeStep.SILENT, now, now)
        self._by_step[HandshakeStep.SILENT][stranger] = None
        self._handshakes[stranger] = None
        self._by_network.setdefault(network, {})[stranger] = None
        self._tally.add(network)

    def heard(self, stranger: T, now: float) -> None:
        """Note that bytes have arrived."""
        progress = self._progress.get(stranger)
        if progress is not None:
            step = HandshakeStep.SHAKING_HANDS if progress.step is HandshakeStep.SILENT else progress.step
            self._move(stranger, progress, step, now)

    def established(self, stranger: T, now: float) -> None:
        """Note that the handshake is done: the time for CONNECT begins."""
        progress = self._progress.get(stranger)
        if progress is not None:
            progress.since = now
            self._handshakes.pop(stranger, None)
            self._established[stranger] = None
            self._move(stranger, progress, HandshakeStep.ESTABLISHED, now)

    def remove(self, stranger: T) -> None:
        """Take the place back, which may be taken back already."""
        progress = self._progress.pop(stranger, None)
        if progress is None:
            return
        del self._by_step[progress.step][stranger]
        self._handshakes.pop(stranger, None)
        self._established.pop(stranger, None)
        neighbours = self._by_network[progress.network]
        del neighbours[stranger]
        if not neighbours:
            del self._by_network[progress.network]
        self._tally.remove(progress.network)

    def gives_way_to(self, network: str, now: float) -> T | None:
        """Return which connection gives its place to one of the network; None if all have a better claim.

        In this order: one that has never sent anything; one that is silent after its handshake; the newest of the
        network that has most places, if it has two more than the network that asks.
        """
        stalled = self.stalled(now)
        if stalled is not None:
            return stalled
        largest = self._tally.largest()
        if largest is None or self._tally.of(largest) < self._tally.of(network) + 2:
            return None
        return next(reversed(self._by_network[largest]))

    def silent(self, before: float) -> T | None:
        """Return a connection that has sent nothing since this moment, which it was accepted at or earlier, or None."""
        return self._not_heard_since(HandshakeStep.SILENT, before)

    def has_silent(self) -> bool:
        """Return whether one of them has sent nothing yet."""
        return bool(self._by_step[HandshakeStep.SILENT])

    def go_on(self, before: float) -> bool:
        """Return whether none was silent since this moment, but for those in their handshake."""
        return self.silent(before) is None and self._not_heard_since(HandshakeStep.ESTABLISHED, before) is None

    def stalled(self, now: float) -> T | None:
        """Return a connection that gives its place to any other, or None."""
        silent = self._not_heard_since(HandshakeStep.SILENT, now - self._silent_for)
        if silent is not None:
            return silent
        return self._not_heard_since(HandshakeStep.ESTABLISHED, now - self._silent_for)

    def late(self, handshake_before: float, connect_before: float) -> Iterator[T]:
        """Yield those whose step began before these moments; do not change anything meanwhile."""
        for begun, before in ((self._handshakes, handshake_before), (self._established, connect_before)):
            yield from takewhile(lambda stranger: self._progress[stranger].since <= before, begun)  # noqa: B023  used at once

    def _not_heard_since(self, step: HandshakeStep, before: float) -> T | None:
        first = next(iter(self._by_step[step]), None)
        return first if first is not None and self._progress[first].heard_at <= before else None

    def _move(self, stranger: T, progress: _Progress, step: HandshakeStep, now: float) -> None:
        del self._by_step[progress.step][stranger]
        progress.step, progress.heard_at = step, now
        self._by_step[step][stranger] = None
