"""Owns the list of trusted load balancers, and the reading of their PROXY protocol headers from accepted sockets.

A connection from one of their networks must begin with a header of the PROXY protocol, or it is closed: without the
header all clients behind a balancer would share one address. No header is read from any other network, so that no
client can choose its address: a header from such a client is invalid input for TLS or HTTP.
"""

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from msgspec import Struct

from thingmint.core.error_text import in_words
from thingmint.host.connections.listening import Network
from thingmint.host.connections.proxy_header import MOST_BYTES, CarriedAddresses, InvalidHeader, parse

Admit: TypeAlias = Callable[[socket.socket, str, CarriedAddresses | None], None]

# A balancer writes the header at once; a lost packet is sent again within three seconds.
_HEADER_SECONDS: Final = 5.0
# Connections that wait for their header use reserved descriptors, and are not counted as connections of the edge.
_MOST_AWAITED: Final = 128
_SAY_EVERY_SECONDS: Final = 60.0

log = logging.getLogger(__name__)


def _not_counted(count: int) -> None:
    del count


class TrustedProxies(Struct, frozen=True):
    """The networks whose connections begin with a header, and the counter of refused connections."""

    networks: Sequence[Network] = ()
    observe_refused: Callable[[int], None] = _not_counted

    def has(self, address: str) -> bool:
        """Return whether a peer with this address is a balancer."""
        if not self.networks:
            return False
        parsed = ipaddress.ip_address(address.partition("%")[0])
        return any(parsed in network for network in self.networks)


@dataclass(slots=True, eq=False)
class _Awaited:
    """A connection whose header has not arrived."""

    socket: socket.socket
    address: str
    received: bytes = field(default=b"", repr=False)
    timer: asyncio.TimerHandle | None = None


class ProxyHeaders:
    """Reads the headers of accepted connections, with a time limit for each and a limit on how many wait."""

    def __init__(self, proxies: TrustedProxies, whose: str, admit: Admit) -> None:
        """Call ``admit`` for each connection whose header was read, with its peer and the addresses in the header."""
        self._proxies = proxies
        self._whose = whose
        self._admit = admit
        # In the order of their arrival.
        self._awaited: dict[_Awaited, None] = {}
        self._refused = 0
        self._say_after = 0.0

    def expected_from(self, address: str) -> bool:
        """Return whether connections of this peer begin with a header."""
        return self._proxies.has(address)

    def take(self, accepted: socket.socket, address: str) -> None:
        """Read the header now or when it arrives; if too many connections wait, the oldest one is closed."""
        accepted.setblocking(False)
        loop = asyncio.get_running_loop()
        awaited = _Awaited(accepted, address)
        awaited.timer = loop.call_later(_HEADER_SECONDS, self._refuse, awaited, "no header came in time")
        self._awaited[awaited] = None
        if len(self._awaited) > _MOST_AWAITED:
            self._refuse(next(iter(self._awaited)), "too many headers are awaited")
        loop.add_reader(accepted, self._read, awaited)
        self._read(awaited)

    def stop(self) -> None:
        """Close the connections whose header has not arrived."""
        for awaited in tuple(self._awaited):
            self._forget(awaited)
            awaited.socket.close()

    def _read(self, awaited: _Awaited) -> None:
        try:
            # Bytes after the header stay in the socket, for TLS or HTTP.
            seen = awaited.socket.recv(MOST_BYTES, socket.MSG_PEEK)
            if not seen:
                # The balancer only checks the port, or has lost its client.
                self._forget(awaited)
                awaited.socket.close()
                return
            header = parse(awaited.received + seen)
            taken = len(seen) if header is None else header.length - len(awaited.received)
            awaited.received += awaited.socket.recv(taken)
        except (BlockingIOError, InterruptedError):
            return
        except (InvalidHeader, OSError) as error:
            self._refuse(awaited, in_words(error))
            return
        if header is not None:
            self._forget(awaited)
            self._admit(awaited.socket, awaited.address, header.addresses)

    def _forget(self, awaited: _Awaited) -> None:
        self._awaited.pop(awaited, None)
        if awaited.timer is not None:
            awaited.timer.cancel()
        asyncio.get_running_loop().remove_reader(awaited.socket)

    def _refuse(self, awaited: _Awaited, reason: str) -> None:
        self._forget(awaited)
        awaited.socket.close()
        self._proxies.observe_refused(1)
        self._refused += 1
        if time.monotonic() < self._say_after:
            return
        log.warning(
            "%s connections from networks of proxy_protocol were closed: %d, the last from %s: %s",
            self._whose,
            self._refused,
            awaited.address,
            reason,
        )
        self._refused, self._say_after = 0, time.monotonic() + _SAY_EVERY_SECONDS
