"""Owns which connection of the API gives way where there is no room; closes nothing.

Those that have come furthest keep their place: a handshake that goes on, a client whose bytes still arrive.
"""

import socket
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

_TCP_INFO_BYTES = 136
# struct tcp_info of Linux, tcpi_bytes_received.
_RECEIVED_AT = slice(128, 136)
# A client sends its first bytes one round trip after the service has accepted it.
FIRST_BYTES_SECONDS = 1.0


class Place(Protocol):
    """What is asked of a connection that may have to give way."""

    @property
    def network(self) -> str:
        """Whose it is."""
        ...

    @property
    def is_established(self) -> bool:
        """Whether its handshake is done."""
        ...

    @property
    def idle_since(self) -> float | None:
        """Since when nothing has come of it; None while the service works on its request."""
        ...

    @property
    def accepted_at(self) -> float:
        """When the service accepted it."""
        ...

    @property
    def has_spoken(self) -> bool:
        """Whether its client has sent anything."""
        ...


P = TypeVar("P", bound=Place)
T = TypeVar("T")


def gives_way(places: Iterable[P], network: str, now: float) -> P | None:
    """Return which connection gives way to one of the network; None if all have a better claim.

    In this order: the oldest that has sent nothing in the time for its first bytes; of the network that has most
    connections without a handshake, if it has two more than the network that asks, the oldest that has sent nothing;
    the established one that has been idle or stalled longest; the newest handshake of that network; the oldest of the
    asking network that has sent nothing yet.
    """
    unfinished: list[P] = []
    idle: list[tuple[float, P]] = []
    for each in places:
        if each.is_established:
            since = each.idle_since
            if since is not None:
                idle.append((since, each))
        elif each.accepted_at <= now - FIRST_BYTES_SECONDS and not each.has_spoken:
            return each
        else:
            unfinished.append(each)
    surplus = _of_network_with_most(unfinished, network)
    silent = next((each for each in surplus if not each.has_spoken), None)
    if silent is not None:
        return silent
    if idle:
        return min(idle, key=lambda pair: pair[0])[1]
    if surplus:
        return surplus[-1]
    return next((each for each in unfinished if each.network == network and not each.has_spoken), None)


def _of_network_with_most(unfinished: Sequence[P], network: str) -> Sequence[P]:
    """Return the connections of the network that has most of them; none unless it has two more than the other."""
    counts = Counter(each.network for each in unfinished)
    largest, count = counts.most_common(1)[0] if counts else ("", 0)
    return [each for each in unfinished if each.network == largest] if count >= counts[network] + 2 else []


def longest_stalled(
    waiting: Sequence[T], network_of: Callable[[T], str], stalled_since: Callable[[T], float]
) -> T | None:
    """Return, of the network that has most of them, the one that has waited longest for its client; None of none."""
    if not waiting:
        return None
    largest = Counter(map(network_of, waiting)).most_common(1)[0][0]
    return min((each for each in waiting if network_of(each) == largest), key=stalled_since)


def has_received(connection: socket.socket) -> bool:
    """Return whether anything has arrived on a TCP connection, also if nobody has read it yet."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return False
    # A kernel that does not tell is one on which every client may have spoken.
    return len(info) < _TCP_INFO_BYTES or any(info[_RECEIVED_AT])
