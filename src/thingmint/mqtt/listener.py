"""Owns the listening sockets, every accepted connection and the room that strangers may take; knows nothing of MQTT."""

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence

from OpenSSL import SSL

from thingmint.listening import TurnedAway, descriptors_for_connections, listen
from thingmint.mqtt.gateway_limits import GatewayLimits
from thingmint.mqtt.strangers import Strangers
from thingmint.mqtt.tls_records import new_read_buffer
from thingmint.mqtt.tls_roles import TLSProtocol
from thingmint.mqtt.tls_transport import TLSTransport
from thingmint.words import in_words

# What makes way for them closes one or two turns later: so many more descriptors are open meanwhile.
_ACCEPTS_PER_TURN = 16
# Left to itself, Linux keeps megabytes for each peer that does not read, and sends them even after a revocation.
_KERNEL_SEND_BYTES = 128 * 1024
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_EXHAUSTION_PAUSE_SECONDS = 0.25
_SWEEPS_PER_LIMIT = 4
_LONGEST_SWEEP_SECONDS = 1.0

log = logging.getLogger(__name__)


class Listener:
    """Accepts TLS connections within limits and hands each to a protocol of its own."""

    def __init__(
        self,
        new_protocol: Callable[[], TLSProtocol[TLSTransport]],
        *,
        host: str,
        port: int,
        also: Sequence[tuple[str, int]] = (),
        tls_context: SSL.Context,
        limits: GatewayLimits,
        observe_connections: Callable[[int], None] | None = None,
    ) -> None:
        """Serve the host's port, and ``also`` those of other hosts; the limits are for all of them together."""
        self._new_protocol = new_protocol
        self._requested = ((host, port), *also)
        self._tls_context = tls_context
        self._limits = limits
        self._observe_connections = observe_connections or (lambda count: None)
        self._capacity = limits.max_connections
        self._read_buffer = new_read_buffer()
        self._listeners: list[socket.socket] = []
        self._addresses: tuple[tuple[str, int], ...] = ()
        self._ports: tuple[int, ...] = ()
        self._connections: set[TLSTransport] = set()
        self._strangers: Strangers[TLSTransport] = Strangers(limits.max_strangers, limits.max_strangers_per_address)
        self._stalled: dict[TLSTransport, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._paused_accepts: list[asyncio.TimerHandle] = []
        self._turned_away = TurnedAway(log, "device")

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._ports[0]

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of all hosts that were asked for, in their order."""
        return self._ports

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The addresses and ports that are listened on."""
        return self._addresses

    @property
    def is_listening(self) -> bool:
        """Whether connections are accepted."""
        return bool(self._listeners)

    @property
    def open_connections(self) -> int:
        """How many connections are open, those in their handshake included."""
        return len(self._connections)

    def use_tls_context(self, context: SSL.Context) -> None:
        """Use another certificate for the connections to come; those that are open keep theirs."""
        self._tls_context = context

    async def start(self) -> None:
        """Listen; raise OSError if of one of the hosts no address can be bound."""
        self._loop = asyncio.get_running_loop()
        self._capacity = min(self._limits.max_connections, descriptors_for_connections())
        try:
            self._ports = tuple([await self._listen(host, port) for host, port in self._requested])
        except OSError:
            for listener in self._listeners:
                listener.close()
            self._listeners = []
            raise
        names = [listener.getsockname() for listener in self._listeners]
        self._addresses = tuple((name[0], name[1]) for name in names)
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)
        self._sweep()

    def stop_listening(self) -> None:
        """Accept nothing more; what is open stays open."""
        for timer in self._paused_accepts:
            timer.cancel()
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        self._listeners, self._paused_accepts = [], []

    async def stop(self) -> None:
        """Close everything at once."""
        self.stop_listening()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for transport in tuple(self._connections):
            transport.abort()
        # Aborted transports close their sockets in the loop's next turns.
        while self._connections or self._tasks:  # noqa: ASYNC110  # once, at the end; an aborted transport sets no event
            await asyncio.sleep(0)

    def admit(self, transport: TLSTransport) -> None:
        """Count the connection as a device's: it no longer has to make way for others."""
        self._strangers.remove(transport)

    # What connections report

    def established(self, transport: TLSTransport) -> None:
        """Give the stranger its time for CONNECT."""
        self._strangers.restart(transport, self._loop.time())

    def stalled(self, transport: TLSTransport, since: float | None) -> None:
        """Remember who leaves too much unread."""
        if since is None:
            self._stalled.pop(transport, None)
        else:
            self._stalled[transport] = since

    def lost(self, transport: TLSTransport) -> None:
        """Forget the connection."""
        self._strangers.remove(transport)
        self._connections.discard(transport)
        self._observe_connections(len(self._connections))

    # Accepting

    async def _listen(self, host: str, port: int) -> int:
        found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        listeners = listen([(family, address) for family, _, _, _, address in dict.fromkeys(found)])
        self._listeners.extend(listeners)
        own_port: int = listeners[0].getsockname()[1]
        return own_port

    def _accept(self, listener: socket.socket) -> None:
        for turn in range(_ACCEPTS_PER_TURN):
            try:
                accepted, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Linux says so for an empty queue, too: only the first refusal shows that somebody waits.
                if error.errno in _EXHAUSTED and turn == 0:
                    self._make_way(self._strangers.oldest())
                self._pause_accepting(listener, error)
                return
            self._take(accepted, address[0])

    def _pause_accepting(self, listener: socket.socket, error: OSError) -> None:
        """Wait a little: the socket stays readable, and the loop would spin on it."""
        log.warning("cannot accept a connection: %s", in_words(error))
        self._loop.remove_reader(listener)
        resume = self._loop.call_later(
            _EXHAUSTION_PAUSE_SECONDS, self._loop.add_reader, listener, self._accept, listener
        )
        self._paused_accepts = [timer for timer in self._paused_accepts if timer.when() > self._loop.time()]
        self._paused_accepts.append(resume)

    def _take(self, accepted: socket.socket, address: str) -> None:
        full = len(self._connections) >= self._capacity
        if full and not self._make_way(self._strangers.oldest()):
            self._turned_away.note()
            accepted.close()
            return
        self._make_way(self._strangers.in_the_way_of(network_of(address)))
        accepted.setblocking(False)
        transport = TLSTransport(
            self._tls_context,
            self._new_protocol,
            address=address,
            limits=self._limits,
            owner=self,
            read_buffer=self._read_buffer,
            loop=self._loop,
        )
        self._connections.add(transport)
        self._strangers.add(transport, network_of(address), self._loop.time())
        self._observe_connections(len(self._connections))
        task = self._loop.create_task(self._serve(transport, accepted))
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

    def _make_way(self, stranger: TLSTransport | None) -> bool:
        if stranger is None:
            return False
        self._turned_away.note()
        stranger.abort()
        # Its socket closes in the loop's next turn; the next to be accepted should not choose it again.
        self.lost(stranger)
        return True

    # Time

    def _sweep(self) -> None:
        self._sweep_timer = self._loop.call_later(self._sweep_seconds(), self._sweep)
        now = self._loop.time()
        for transport in [*self._late(now), *self._deaf(now)]:
            log.debug("%r has kept the gateway waiting too long", transport)
            transport.abort()

    def _late(self, now: float) -> list[TLSTransport]:
        handshake, connect = self._limits.handshake_seconds, self._limits.connect_seconds
        waiting = self._strangers.since_before(now - min(handshake, connect))
        return [each for each, since in waiting if since <= now - (connect if each.is_established else handshake)]

    def _deaf(self, now: float) -> list[TLSTransport]:
        return [each for each, since in self._stalled.items() if since <= now - self._limits.write_stall_seconds]

    def _sweep_seconds(self) -> float:
        limits = self._limits
        shortest = min(limits.handshake_seconds, limits.connect_seconds, limits.write_stall_seconds)
        return min(_LONGEST_SWEEP_SECONDS, shortest / _SWEEPS_PER_LIMIT)


def network_of(address: str) -> str:
    """Return what one stranger can be expected to own: an IPv4 address, or the /64 network of an IPv6 address."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((parsed, 64), strict=False).network_address)
