"""Owns the making of listening sockets, and the division of descriptors among listeners. Accepts no connections."""

import errno
import ipaddress
import logging
import math
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from thingmint.core.error_text import reason_of
from thingmint.host.open_files import most_open_files

# Host, port and, for IPv6, more fields: the standard library has one type for each address family.
Address: TypeAlias = tuple[Any, ...]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_BACKLOG = 1024
_ANY_NUMBER = 2**31
_SAY_EVERY_SECONDS = 60.0
# Descriptors for the database, the key workers, webhooks, logs and files. Half of them are for webhooks, one for each
# device that may be provisioned at a time (`GatewayLimits.max_provisioning`); half are for the rest.
_RESERVED_DESCRIPTORS = 256


def descriptors_for_connections() -> int:
    """Return how many sockets connections may use, so that descriptors remain for everything else."""
    most = most_open_files()
    return _ANY_NUMBER if most is None else max(most - _RESERVED_DESCRIPTORS, most // 2)


class Demand(Struct, frozen=True):
    """How many connections a listener is configured for, and how many descriptors each of them takes."""

    connections: int
    descriptors_each: int = 1


def shares(demands: Sequence[Demand]) -> tuple[int, ...]:
    """Return how many connections each listener may have, so that descriptors remain when all listeners are full.

    Each listener gets what it asks for if there are enough descriptors; otherwise all are reduced in the same
    proportion. Many connections to one listener thus take nothing from another one.
    """
    room = descriptors_for_connections()
    wanted = sum(demand.connections * demand.descriptors_each for demand in demands)
    if wanted <= room:
        return tuple(demand.connections for demand in demands)
    return tuple(max(1, demand.connections * room // wanted) for demand in demands)


class TurnedAway:
    """Counts connections that were refused or ended in favour of others; logs at once, then once a minute."""

    def __init__(
        self,
        log: logging.Logger,
        whose: str,
        observe: Callable[[int], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Call ``observe`` for each connection, so that a counter can be kept."""
        self._log = log
        self._whose = whose
        self._observe = observe or (lambda count: None)
        self._monotonic = monotonic
        self._unsaid = 0
        self._say_after = -math.inf

    def add(self) -> None:
        """Count a connection; write a log line if the last line was written long enough ago."""
        self._unsaid += 1
        self._observe(1)
        self.report()

    def report(self) -> None:
        """Write counts that are not logged yet if the last line was written long enough ago; call this periodically."""
        if self._unsaid and self._monotonic() >= self._say_after:
            self.close()

    def close(self) -> None:
        """Write counts that are not logged yet."""
        if self._unsaid:
            self._log.warning("%s connections were turned away for lack of room: %d", self._whose, self._unsaid)
            self._unsaid, self._say_after = 0, self._monotonic() + _SAY_EVERY_SECONDS


def listen(addresses: Sequence[tuple[int, Address]], *, shares_port: bool = False) -> list[socket.socket]:
    """Return a listening socket for each address that can be bound, on one port.

    If ``shares_port`` is set, the kernel spreads connections evenly over the processes that listen on the port.

    Raises OSError if none can be bound; its text has the address, so that an operator learns which one is taken.
    """
    listeners: list[socket.socket] = []
    refusal: OSError | None = None
    for family, address in addresses:
        # With port 0 the first address chooses the port, and the others (localhost has two) use the same port.
        port = listeners[0].getsockname()[1] if listeners else address[1]
        try:
            listeners.append(_listening_socket(family, (address[0], port, *address[2:]), shares_port=shares_port))
        except OSError as error:
            refusal = _named(error, address[0], port)
    if not listeners:
        raise refusal or OSError(errno.EADDRNOTAVAIL, "the host has no address")
    return listeners


class ReservedPort(Struct, frozen=True):
    """A reserved port: while its sockets are open, only processes of this user that share ports can listen on it."""

    number: int
    sockets: Sequence[socket.socket]


def reserve_port(host: str, port: int) -> ReservedPort:
    """Reserve a port of the host for processes that share it, without listening; raise OSError if it is taken."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # Without sharing, binding fails if any process listens on the port, even another service that shares its ports.
    listeners = listen([(family, address) for family, _, _, _, address in dict.fromkeys(found)])
    names = [(each.family, each.getsockname()) for each in listeners]
    for each in listeners:
        each.close()
    return ReservedPort(names[0][1][1], [_bound_socket(family, name, shares_port=True) for family, name in names])


def _listening_socket(family: int, address: Address, *, shares_port: bool) -> socket.socket:
    listener = _bound_socket(family, address, shares_port=shares_port)
    try:
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _bound_socket(family: int, address: Address, *, shares_port: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _named(error: OSError, host: str, port: int) -> OSError:
    """Return the error with the address in its text; the system's text has the fault alone."""
    shown = f"[{host}]" if ":" in host else host
    advice = "; give another port, or 0 to let the system choose" if error.errno == errno.EADDRINUSE else ""
    return OSError(error.errno, f"cannot listen on {shown}:{port}: {reason_of(error)}{advice}")


def network_of(address: str) -> str:
    """Return the network that one client usually has: an IPv4 address, or the /64 network of an IPv6 address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False).network_address)
