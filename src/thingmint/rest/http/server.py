"""Owns every accepted connection of the API until it is closed. Independent of routes and certificates."""

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from thingmint.core.error_text import in_words
from thingmint.host.connections.accepting import Acceptor
from thingmint.host.connections.proxied import TrustedProxies
from thingmint.host.connections.proxy_header import CarriedAddresses
from thingmint.rest.asgi_messages import ASGIApplication
from thingmint.rest.http.eviction import gives_way, has_received, longest_stalled
from thingmint.rest.http.limits import Limits
from thingmint.rest.http.plain_http import first_bytes, is_plain_http, refuse_plain_http
from thingmint.rest.http.protocol.connection import HTTPConnection
from thingmint.rest.http.protocol.server_state import ServerState

_SWEEPS_PER_LIMIT = 4
_LONGEST_SWEEP_SECONDS = 1.0
_FLUSH_SECONDS = 1.0
_SETTLE_SECONDS = 0.01
# asyncio does not accept a time limit of zero.
_SHORTEST_TIMER = 0.001

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Accepted:
    """An accepted socket, from the first byte of its handshake on."""

    socket: socket.socket
    accepted_at: float
    network: str
    carried: CarriedAddresses | None = None
    protocol: HTTPConnection | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    _has_spoken: bool = False

    @property
    def is_established(self) -> bool:
        return self.protocol is not None and self.protocol.is_established

    @property
    def has_spoken(self) -> bool:
        self._has_spoken = self._has_spoken or has_received(self.socket)
        return self._has_spoken

    @property
    def idle_since(self) -> float | None:
        if self.protocol is None or not self.is_established:
            return self.accepted_at
        return self.protocol.idle_since


class Server:
    """Serves an ASGI application over HTTP/1.1, with or without TLS, within limits."""

    def __init__(
        self,
        application: ASGIApplication,
        *,
        host: str,
        port: int,
        ssl_context: ssl.SSLContext | None,
        limits: Limits | None = None,
        observe_connections: Callable[[int], None] | None = None,
        observe_turned_away: Callable[[int], None] | None = None,
        spared: Collection[bytes] = (),
        shares_port: bool = False,
        proxies: TrustedProxies | None = None,
    ) -> None:
        """Configure a server; requests to the ``spared`` paths are always served, and not counted as in flight."""
        self._spared = spared
        self._application = application
        self._ssl_context = ssl_context
        self._limits = limits or Limits()
        self._observe_connections = observe_connections or (lambda count: None)
        # In order of arrival.
        self._connections: dict[_Accepted, None] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._acceptor = Acceptor(
            self,
            ((host, port),),
            whose="API",
            max_connections=self._limits.max_connections,
            observe_turned_away=observe_turned_away,
            shares_ports=shares_port,
            proxies=proxies,
        )

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self._acceptor.ports[0]

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The addresses and ports that the server listens on."""
        return self._acceptor.addresses

    def protocols(self) -> tuple[HTTPConnection, ...]:
        """Return the connections whose handshake is done."""
        protocols = (each.protocol for each in self._connections)
        return tuple(each for each in protocols if each is not None and each.is_established)

    def use_tls_context(self, context: ssl.SSLContext) -> None:
        """Use another certificate for new connections; open connections keep theirs."""
        self._ssl_context = context

    async def start(self) -> None:
        """Listen and serve; raise OSError if no address of the host can be bound."""
        self._loop = asyncio.get_running_loop()
        self._state = ServerState(self._application, self._limits, self._loop, self._has_room, self._spared)
        await self._acceptor.start()
        self._sweep()

    async def stop(self, grace: float) -> None:
        """Stop accepting, finish the requests in flight within ``grace`` seconds, and close all connections."""
        self._acceptor.stop()
        for connection in tuple(self._connections):
            if connection.protocol is None or not connection.is_established:
                self._drop(connection)
            else:
                connection.protocol.shutdown()
        await self._settle(lambda: not (self._state.tasks or self._state.spared_tasks), grace)
        await self._settle(lambda: not self._connections, min(grace, _FLUSH_SECONDS))
        await self._abandon()
        self._acceptor.turned_away.close()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()

    async def _settle(self, is_settled: Callable[[], bool], seconds: float) -> None:
        deadline = self._loop.time() + seconds
        while not is_settled() and self._loop.time() < deadline:  # noqa: ASYNC110  # once, at the end; tasks and sockets set no event
            await asyncio.sleep(_SETTLE_SECONDS)

    async def _abandon(self) -> None:
        for connection in tuple(self._connections):
            self._drop(connection)
        tasks = [task for task in (*self._state.tasks, *self._state.spared_tasks) if task.cancel()]
        if tasks:
            log.warning("%d requests were abandoned at the end of the grace period", len(tasks))
            await asyncio.wait(tasks, timeout=_FLUSH_SECONDS)
        # Aborted transports close their sockets in the event loop's next turn.
        await asyncio.sleep(0)

    # Called by the acceptor

    @property
    def has_no_room(self) -> bool:
        """Whether another connection can be accepted only if an open one is closed."""
        return len(self._connections) >= self._acceptor.capacity

    @property
    def leaves_next_in_kernel(self) -> bool:
        """Return False: a client for which no connection is closed is refused at once, so that it can try again."""
        return False

    def make_way(self, network: str) -> bool:
        """Close a connection in favour of a new one from the network; return whether one was closed."""
        connection = gives_way(self._connections, network, time.monotonic())
        if connection is not None:
            self._drop(connection)
        return connection is not None

    def take(self, accepted: socket.socket, address: str, network: str, carried: CarriedAddresses | None) -> None:
        """Begin the handshake, or without TLS the first request."""
        del address
        connection = _Accepted(accepted, time.monotonic(), network, carried)
        self._connections[connection] = None
        self._observe_connections(len(self._connections))
        connection.task = self._loop.create_task(self._establish(connection))
        # Not a ``finally`` in the task: if the task is cancelled before its first step, ``finally`` does not run.
        connection.task.add_done_callback(lambda _: self._close_unless_established(connection))

    async def _establish(self, connection: _Accepted) -> None:
        def new_protocol() -> HTTPConnection:
            connection.protocol = HTTPConnection(self._state, lambda: self._forget(connection), connection.carried)
            return connection.protocol

        context = self._ssl_context
        # The handshake's time limit includes the first byte.
        deadline = self._loop.time() + self._limits.handshake_seconds
        try:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if context is not None and await self._refuses_plain_http(connection.socket, deadline):
                return
            await self._loop.connect_accepted_socket(
                new_protocol,
                connection.socket,
                ssl=context,
                ssl_handshake_timeout=max(deadline - self._loop.time(), _SHORTEST_TIMER) if context else None,
                ssl_shutdown_timeout=self._limits.close_seconds if context else None,
            )
        except OSError as error:
            log.debug("a connection was not established: %s", in_words(error))

    async def _refuses_plain_http(self, accepted: socket.socket, deadline: float) -> bool:
        """Refuse a client that speaks plain HTTP and return True; return False if it begins a TLS handshake.

        Raises OSError if the connection fails, or if the client sends nothing before the deadline.
        """
        async with asyncio.timeout_at(deadline):
            beginning = await first_bytes(self._loop, accepted)
        if not is_plain_http(beginning):
            return False
        async with asyncio.timeout(self._limits.linger_seconds):
            await refuse_plain_http(self._loop, accepted, beginning, self._state.standing_fields)
        return True

    def _close_unless_established(self, connection: _Accepted) -> None:
        connection.task = None
        if not connection.is_established:
            connection.socket.close()
            self._forget(connection)

    def _has_room(self) -> bool:
        """Return whether one more request can be served; end another one for it if necessary."""
        return len(self._state.tasks) < self._limits.max_requests or self._make_room()

    def _make_room(self) -> bool:
        """End the request that has waited longest for its client; return whether there was one.

        A client that sends half a body, or does not read its answer, may be unauthenticated. It must not keep other
        clients from being served.
        """
        protocols = [
            (each.network, each.protocol)
            for each in self._connections
            if each.protocol is not None and each.is_established and each.protocol.waits_for_client
        ]
        stalled = longest_stalled(protocols, lambda each: each[0], lambda each: each[1].stalled_since)
        if stalled is not None:
            stalled[1].give_way()
        return stalled is not None

    def _drop(self, connection: _Accepted) -> None:
        if connection.protocol is not None and connection.is_established:
            connection.protocol.transport.abort()
        elif connection.task is not None:
            connection.task.cancel()
        self._forget(connection)

    def _forget(self, connection: _Accepted) -> None:
        self._connections.pop(connection, None)
        self._observe_connections(len(self._connections))

    # Time

    def _sweep(self) -> None:
        self._acceptor.turned_away.report()
        now = self._loop.time()
        for protocol in self.protocols():
            protocol.enforce(now)
        self._state.tell_date()
        self._sweep_timer = self._loop.call_later(self._sweep_seconds(), self._sweep)

    def _sweep_seconds(self) -> float:
        limits = self._limits
        shortest = min(
            limits.header_seconds,
            limits.body_seconds,
            limits.body_stall_seconds,
            limits.keep_alive_seconds,
            limits.write_stall_seconds,
            limits.linger_seconds,
            limits.close_seconds,
        )
        return min(_LONGEST_SWEEP_SECONDS, shortest / _SWEEPS_PER_LIMIT)
