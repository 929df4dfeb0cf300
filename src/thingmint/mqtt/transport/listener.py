"""Owns the listening sockets, all accepted connections and the places before CONNECT. Independent of MQTT.

If no place is free, accepted connections wait for one, and networks take turns. If the queue is full, further
connections of a single network stay in the kernel's queue, and several networks share the queue equally.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from itertools import takewhile

from msgspec import Struct
from OpenSSL import SSL

from thingmint.core.error_text import in_words
from thingmint.host.connections.accepting import Acceptor
from thingmint.host.connections.proxied import TrustedProxies
from thingmint.host.connections.proxy_header import CarriedAddresses
from thingmint.mqtt.pacing.arrivals import Arrivals
from thingmint.mqtt.pacing.slices import Slices
from thingmint.mqtt.transport.device_transport import DeviceTransport
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.plaintext_clients import PlaintextClients
from thingmint.mqtt.transport.queue_of_networks import QueueOfNetworks
from thingmint.mqtt.transport.tls_records import new_read_buffer
from thingmint.mqtt.transport.tls_transport import TLSProtocol, TLSTransport
from thingmint.mqtt.transport.unauthenticated import UnauthenticatedConnections

# Left to itself, Linux keeps megabytes for each peer that does not read, and sends them even after a revocation.
_KERNEL_SEND_BYTES = 128 * 1024
# What a client sends first is a round trip behind its connection.
_FIRST_BYTES_SECONDS = 0.3
_STALL_SECONDS = 1.0
_SWEEPS_PER_LIMIT = 4
# How long packets that have arrived are handled in a turn of the event loop.
_MESSAGE_SECONDS = 0.005
_LONGEST_SWEEP_SECONDS = 1.0

log = logging.getLogger(__name__)


class _Waiting(Struct, frozen=True):
    """A connection that waits for a place; the addresses are the client's."""

    socket: socket.socket
    address: str
    carried: CarriedAddresses | None


class Listener:
    """Accepts TLS connections within limits and makes a protocol for each; adopts connections of other servers."""

    def __init__(
        self,
        new_protocol: Callable[[], TLSProtocol],
        *,
        host: str,
        port: int,
        also: Sequence[tuple[str, int]] = (),
        tls_context: SSL.Context,
        limits: GatewayLimits,
        observe_connections: Callable[[int], None] | None = None,
        observe_accepted: Callable[[], None] | None = None,
        observe_turned_away: Callable[[int], None] | None = None,
        shares_ports: bool = False,
        proxies: TrustedProxies | None = None,
    ) -> None:
        """Serve the host's port, and in ``also`` those of other hosts; the limits are for all ports together."""
        self._new_protocol = new_protocol
        self._tls_context = tls_context
        self._limits = limits
        self._observe_connections = observe_connections or (lambda count: None)
        self._observe_accepted = observe_accepted or (lambda: None)
        self._read_buffer = new_read_buffer()
        self._connections: set[DeviceTransport] = set()
        self._unauthenticated: UnauthenticatedConnections[DeviceTransport] = UnauthenticatedConnections(
            limits.max_strangers, limits.silent_seconds
        )
        self._queue: QueueOfNetworks[_Waiting] = QueueOfNetworks(limits.max_waiting)
        self._plaintext_clients = PlaintextClients()
        # In the order in which they stalled, so that a sweep looks at those only whose time is over.
        self._stalled: dict[DeviceTransport, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._acceptor = Acceptor(
            self,
            ((host, port), *also),
            whose="device",
            max_connections=limits.max_connections,
            observe_turned_away=observe_turned_away,
            shares_ports=shares_ports,
            proxies=proxies,
        )

    @property
    def port(self) -> int:
        """The port of the first host."""
        return self._acceptor.ports[0]

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of all configured hosts, in order."""
        return self._acceptor.ports

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The addresses and ports on which the service listens."""
        return self._acceptor.addresses

    @property
    def is_listening(self) -> bool:
        """Whether connections are accepted."""
        return self._acceptor.is_listening

    @property
    def open_connections(self) -> int:
        """How many connections are open, including those in their handshake and those that wait for a place."""
        return len(self._connections) + len(self._queue)

    def use_tls_context(self, context: SSL.Context) -> None:
        """Use another certificate for new connections; open connections keep theirs."""
        self._tls_context = context

    async def start(self) -> None:
        """Listen; raise OSError if no address of one of the hosts can be bound."""
        self._loop = asyncio.get_running_loop()
        self._slices = Slices(self._loop)
        self._arrivals = Arrivals(self._loop, _MESSAGE_SECONDS)
        await self._acceptor.start()
        self._sweep()

    def stop_listening(self) -> None:
        """Stop accepting; open connections stay open."""
        self._acceptor.stop()

    async def stop(self) -> None:
        """Close all connections at once."""
        self.stop_listening()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        while self._queue:
            waiting, _ = self._queue.take()
            waiting.socket.close()
        self._acceptor.turned_away.close()
        for transport in tuple(self._connections):
            transport.abort()
        # Aborted transports close their sockets in the loop's next turns.
        while self._connections or self._tasks:  # noqa: ASYNC110  # once, at the end; an aborted transport sets no event
            await asyncio.sleep(0)

    def admit(self, transport: DeviceTransport, account: Hashable = None) -> None:
        """Count the connection as a device's of the account, and give its place to a waiting connection."""
        transport.is_admitted, transport.account = True, account
        self._unauthenticated.remove(transport)
        self._fill_places()
        self._observe_accepted()

    def handles_connect(self, transport: DeviceTransport, *, begins: bool) -> None:
        """Record that the service begins to handle CONNECT, or that it waits for the rest of it."""
        record = self._unauthenticated.sent_connect if begins else self._unauthenticated.received
        record(transport, self._loop.time())

    def adopt(self, transport: DeviceTransport, network: str) -> bool:
        """Count a connection that another server has accepted, and give it a place; return False if there is no room.

        It does not wait for a place, because its client can try again.
        """
        now = self._loop.time()
        if self.has_no_room:
            self._acceptor.turned_away.add()
            if not self.make_way(network):
                return False
        if self._unauthenticated.is_full and not self._turn_away(self._unauthenticated.gives_way_to(network, now)):
            self._acceptor.turned_away.add()
            return False
        self._connections.add(transport)
        self._unauthenticated.add(transport, network, now)
        self._observe_connections(self.open_connections)
        return True

    # What connections ask and report

    def later(self, call: Callable[[], object]) -> None:
        """Call the function in a time slice that all connections share."""
        self._slices.add(call)

    def has_time_for(self, transport: DeviceTransport) -> bool:
        """Return whether what the connection has just received may be handled in this turn of the event loop.

        Handshakes always are: if they ended later, more of them would exceed their time limits when a fleet comes back.
        """
        return not transport.is_established or self._arrivals.has_time

    def in_turn(self, transport: DeviceTransport, handle: Callable[[], object]) -> None:
        """Handle what an established connection has received in a later turn. Meanwhile, it waits for the service."""
        if transport.is_admitted:
            self._arrivals.add(transport.account, handle)
            return
        self.handles_connect(transport, begins=True)
        self._arrivals.add(None, partial(self._handle_connect, transport, handle))

    def _handle_connect(self, transport: DeviceTransport, handle: Callable[[], object]) -> None:
        self.handles_connect(transport, begins=False)
        handle()

    def received(self, transport: DeviceTransport) -> None:
        """Record that an unauthenticated connection has made progress."""
        self._unauthenticated.received(transport, self._loop.time())

    def failed(self, transport: DeviceTransport, beginning: bytes) -> None:
        """Log, at a limited rate, that clients use another protocol on this port."""
        self._plaintext_clients.count(transport.address, beginning, self._loop.time())

    def established(self, transport: DeviceTransport) -> None:
        """Start the connection's time limit for CONNECT."""
        self._unauthenticated.established(transport, self._loop.time())

    def stalled(self, transport: DeviceTransport, since: float | None) -> None:
        """Record since when the peer has too much unread, or that it has caught up."""
        if since is None:
            self._stalled.pop(transport, None)
        else:
            self._stalled[transport] = since

    def lost(self, transport: DeviceTransport) -> None:
        """Forget the connection."""
        self._unauthenticated.remove(transport)
        self._connections.discard(transport)
        self._fill_places()
        self._observe_connections(self.open_connections)

    # What the acceptor asks

    @property
    def has_no_room(self) -> bool:
        """Whether another connection can be accepted only if an open one is closed."""
        return self._queue.is_full or self.open_connections >= self._acceptor.capacity

    @property
    def leaves_next_in_kernel(self) -> bool:
        """Whether the next connection would be refused now, but can probably be accepted in a moment."""
        now = self._loop.time()
        if not self.has_no_room or self._unauthenticated.silent(now - _FIRST_BYTES_SECONDS) is not None:
            return False
        networks = max(self._queue.networks(), self._unauthenticated.networks())
        return self._unauthenticated.has_silent() or (
            networks == 1 and self._unauthenticated.go_on(now - _STALL_SECONDS)
        )

    def make_way(self, network: str) -> bool:
        """End one connection in favour of a new one from the network; return whether one was ended."""
        waiting = self._queue.take_back(network)
        if waiting is not None:
            waiting.socket.close()
            return True
        now = self._loop.time()
        return self._end(self._unauthenticated.gives_way_to(network, now)) or (
            # One that has had its time for the first bytes. Descriptors may be exhausted by others than connections.
            network != "" and self._end(self._unauthenticated.silent(now - _FIRST_BYTES_SECONDS))
        )

    def take(self, accepted: socket.socket, address: str, network: str, carried: CarriedAddresses | None) -> None:
        """Give the connection a place, or queue it."""
        self._queue.put(_Waiting(accepted, address, carried), network)
        self._fill_places()
        if self._queue.of(network) and self._turn_away(self._unauthenticated.gives_way_to(network, self._loop.time())):
            self._begin(self._queue.take_of(network), network)
        self._observe_connections(self.open_connections)

    def _fill_places(self) -> None:
        """Give waiting connections the free places, and the places of connections that send nothing."""
        while self._queue:
            if self._unauthenticated.is_full and not self._turn_away(self._unauthenticated.stalled(self._loop.time())):
                return
            self._begin(*self._queue.take())

    def _begin(self, waiting: _Waiting, network: str) -> None:
        transport = TLSTransport(
            self._tls_context,
            self._new_protocol,
            address=waiting.address,
            limits=self._limits,
            owner=self,
            read_buffer=self._read_buffer,
            loop=self._loop,
            carried=waiting.carried,
        )
        self._connections.add(transport)
        self._unauthenticated.add(transport, network, self._loop.time())
        task = self._loop.create_task(self._serve(transport, waiting.socket))
        # The loop itself holds tasks weakly.
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, transport: TLSTransport, accepted: socket.socket) -> None:
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_SEND_BYTES)
            await self._loop.connect_accepted_socket(lambda: transport, accepted)
        except OSError as error:
            log.debug("a connection was not established: %s", in_words(error))
            accepted.close()
            self.lost(transport)

    def _turn_away(self, connection: DeviceTransport | None) -> bool:
        if connection is not None:
            self._acceptor.turned_away.add()
        return self._end(connection)

    def _end(self, connection: DeviceTransport | None) -> bool:
        if connection is None:
            return False
        # Its socket closes in the loop's next turn; the next to be accepted should not choose it again.
        self._unauthenticated.remove(connection)
        self._connections.discard(connection)
        connection.abort()
        return True

    # Time

    def _sweep(self) -> None:
        self._sweep_timer = self._loop.call_later(self._sweep_seconds(), self._sweep)
        now = self._loop.time()
        handshake, connect = self._limits.handshake_seconds, self._limits.connect_seconds
        for transport in [*self._unauthenticated.late(now - handshake, now - connect), *self._deaf(now)]:
            log.debug("%r has kept the gateway waiting too long", transport)
            transport.abort()
        self._fill_places()
        self._acceptor.turned_away.report()

    def _deaf(self, now: float) -> list[DeviceTransport]:
        before = now - self._limits.write_stall_seconds
        return list(takewhile(lambda transport: self._stalled[transport] <= before, self._stalled))

    def _sweep_seconds(self) -> float:
        limits = self._limits
        shortest = min(limits.handshake_seconds, limits.connect_seconds, limits.write_stall_seconds)
        return min(_LONGEST_SWEEP_SECONDS, shortest / _SWEEPS_PER_LIMIT)
