"""Owns the listening sockets of one edge: when connections are accepted, and when they wait in the kernel's queue.

The edge decides which of its connections is closed in favour of a new one. The edges of operators and of devices both
use this module.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Protocol

from thingmint.core.error_text import in_words
from thingmint.host.connections.listening import TurnedAway, descriptors_for_connections, listen, network_of
from thingmint.host.connections.proxied import ProxyHeaders, TrustedProxies
from thingmint.host.connections.proxy_header import CarriedAddresses

# The connections that are ended in their favour close one or two turns later. Until then, up to this many more
# descriptors are open.
_ACCEPTS_PER_TURN = 16
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_SECONDS = 0.25
# One network may fill the kernel's queue. In this interval some connections are accepted from the queue, even if most
# of them are refused, so that connections of other networks are found.
_LOOK_SECONDS = 1.5

log = logging.getLogger(__name__)


class Edge(Protocol):
    """Holds the connections that were accepted."""

    @property
    def has_no_room(self) -> bool:
        """Whether another connection can be accepted only if an open one is closed."""
        ...

    @property
    def leaves_next_in_kernel(self) -> bool:
        """Whether the next connection would be refused now, but can probably be accepted in a moment."""
        ...

    def make_way(self, network: str) -> bool:
        """End one connection in favour of a new one from the network; return whether one was ended.

        The network is empty if descriptors are exhausted, because the new connection's network is then not known.
        """
        ...

    def take(self, accepted: socket.socket, address: str, network: str, carried: CarriedAddresses | None) -> None:
        """Take an accepted connection, for which there is room; its socket does not block.

        Address and network are the client's. ``carried`` has the addresses of both ends from a balancer's header; it is
        None if the client connected to the socket directly.
        """
        ...


class Acceptor:
    """Accepts connections for an edge: fairly, a few in each turn of the loop, and within the limit of descriptors.

    - If the edge has no room and ends no other connection, the new connection is closed, or stays in the kernel's queue
      if the edge prefers that.
    - If descriptors are exhausted, the edge ends a connection, and the next attempt is made a moment later.
    - A connection from a balancer counts for the client's network after its PROXY protocol header was read.
    """

    def __init__(
        self,
        edge: Edge,
        hosts: Sequence[tuple[str, int]],
        *,
        whose: str,
        max_connections: int,
        observe_turned_away: Callable[[int], None] | None = None,
        shares_ports: bool = False,
        proxies: TrustedProxies | None = None,
    ) -> None:
        """Take the hosts and ports to listen on; ``whose`` names the kind of connections in log lines."""
        self._shares_ports = shares_ports
        self._edge = edge
        self._hosts = tuple(hosts)
        self._max_connections = max_connections
        self._listeners: list[socket.socket] = []
        self._paused: list[asyncio.TimerHandle] = []
        self._full_since: float | None = None
        self._headers = ProxyHeaders(proxies or TrustedProxies(), whose, self._admit)
        self.turned_away = TurnedAway(log, whose, observe_turned_away)
        self.addresses: tuple[tuple[str, int], ...] = ()
        self.ports: tuple[int, ...] = ()
        self.capacity = max_connections

    @property
    def is_listening(self) -> bool:
        """Whether connections are accepted."""
        return bool(self._listeners)

    async def start(self) -> None:
        """Listen; raise OSError if no address of one of the hosts can be bound."""
        self._loop = asyncio.get_running_loop()
        self.capacity = min(self._max_connections, descriptors_for_connections())
        try:
            self.ports = tuple([await self._listen(host, port) for host, port in self._hosts])
        except OSError:
            for listener in self._listeners:
                listener.close()
            self._listeners = []
            raise
        names = [listener.getsockname() for listener in self._listeners]
        self.addresses = tuple((name[0], name[1]) for name in names)
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)

    def stop(self) -> None:
        """Stop accepting; open connections stay open."""
        for timer in self._paused:
            timer.cancel()
        self._headers.stop()
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        self._listeners, self._paused = [], []

    async def _listen(self, host: str, port: int) -> int:
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        addresses = [(family, address) for family, _, _, _, address in dict.fromkeys(found)]
        listeners = listen(addresses, shares_port=self._shares_ports)
        self._listeners.extend(listeners)
        own_port: int = listeners[0].getsockname()[1]
        return own_port

    def _accept(self, listener: socket.socket) -> None:
        looks_at_all = self._looks_at_all()
        for turn in range(_ACCEPTS_PER_TURN):
            if not looks_at_all and self._edge.leaves_next_in_kernel:
                self._wait_for_room()
                return
            try:
                accepted, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Linux reports this for an empty queue, too. Only the first attempt of a turn shows that a client
                # waits.
                if error.errno in _EXHAUSTED and turn == 0 and self._edge.make_way(""):
                    self.turned_away.add()
                log.warning("cannot accept a connection: %s", in_words(error))
                self._pause(listener)
                return
            if self._headers.expected_from(address[0]):
                self._headers.take(accepted, address[0])
            else:
                self._admit(accepted, address[0], None)

    def _admit(self, accepted: socket.socket, peer: str, carried: CarriedAddresses | None) -> None:
        address = peer if carried is None else carried.source[0]
        network = network_of(address)
        if self._edge.has_no_room:
            # Either another connection is ended, or this one is closed. In both cases one client is turned away.
            self.turned_away.add()
            if not self._edge.make_way(network):
                accepted.close()
                return
        accepted.setblocking(False)
        self._edge.take(accepted, address, network, carried)

    def _looks_at_all(self) -> bool:
        """Return whether it is time to accept some connections to learn their networks, although there is no room."""
        if self._full_since is None or self._loop.time() < self._full_since + _LOOK_SECONDS:
            return False
        self._full_since = None
        return True

    def _wait_for_room(self) -> None:
        """Leave the next connections in the kernel's queue for a moment."""
        if self._full_since is None:
            self._full_since = self._loop.time()
        for listener in self._listeners:
            self._pause(listener)

    def _pause(self, listener: socket.socket) -> None:
        """Stop reading the socket for a moment. It stays readable, so that the loop would spin on it."""
        self._loop.remove_reader(listener)
        resume = self._loop.call_later(_PAUSE_SECONDS, self._loop.add_reader, listener, self._accept, listener)
        self._paused = [timer for timer in self._paused if timer.when() > self._loop.time()]
        self._paused.append(resume)
