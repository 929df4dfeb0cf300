"""Owns the choice of the connection of the API to close when there is no room for a new one. Closes no connections.

Connections that make progress are kept: those whose handshake continues, or whose clients still send.
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


class EvictionFacts(Protocol):
    """The facts of a connection that decide whether it is closed in favour of another."""

    @property
    def network(self) -> str:
        """The client's network."""
        ...

    @property
    def is_established(self) -> bool:
        """Whether the handshake is done."""
        ...

    @property
    def idle_since(self) -> float | None:
        """Since when it has made no progress; None while the service works on its request."""
        ...

    @property
    def accepted_at(self) -> float:
        """When the service accepted the connection."""
        ...

    @property
    def has_spoken(self) -> bool:
        """Whether the client has sent anything."""
        ...


P = TypeVar("P", bound=EvictionFacts)
T = TypeVar("T")


def gives_way(places: Iterable[P], network: str, now: float) -> P | None:
    """Return the connection to close in favour of a new one from the network; None if all others take precedence.

    The first of these that exists. "Largest" is the network with most unfinished handshakes, if it has at least two
    more than the new connection's network.

    1. The oldest connection whose client has sent nothing within `FIRST_BYTES_SECONDS`.
    2. The oldest connection of the largest network whose client has sent nothing.
    3. The established connection that has been idle or stalled longest.
    4. The newest handshake of the largest network.
    5. The oldest connection of the new connection's network whose client has sent nothing.
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
    """Return the connections of the network that has most; none unless it has at least two more than ``network``."""
    counts = Counter(each.network for each in unfinished)
    largest, count = counts.most_common(1)[0] if counts else ("", 0)
    return [each for each in unfinished if each.network == largest] if count >= counts[network] + 2 else []


def longest_stalled(
    waiting: Sequence[T], network_of: Callable[[T], str], stalled_since: Callable[[T], float]
) -> T | None:
    """Return the longest stalled item of the network that has most items; None if there are no items."""
    if not waiting:
        return None
    largest = Counter(map(network_of, waiting)).most_common(1)[0][0]
    return min((each for each in waiting if network_of(each) == largest), key=stalled_since)


def has_received(connection: socket.socket) -> bool:
    """Return whether any bytes have arrived on a TCP connection, also if they have not been read yet."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
    except OSError:
        return False
    # If the kernel does not report the count, assume that the client has sent something.
    return len(info) < _TCP_INFO_BYTES or any(info[_RECEIVED_AT])
