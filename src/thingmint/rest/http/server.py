"""Owns the listening sockets, every accepted connection and the end of both; knows neither routes nor certificates.

uvicorn's own server takes over the process's signals and counts no connection before its TLS handshake is done, so only
its protocol is used.
"""

import asyncio
import email.utils
import errno
import logging
import socket
import ssl
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.server import ServerState

from thingmint.host.listening import TurnedAway, descriptors_for_connections, listen, network_of
from thingmint.host.words import in_words
from thingmint.rest.http.eviction import gives_way, has_received, longest_stalled
from thingmint.rest.http.limits import Limits
from thingmint.rest.http.plain_http import first_bytes, is_plain_http, refuse_plain_http
from thingmint.rest.http.protocol import HardenedProtocol

# What makes way for them closes one or two turns later: so many more descriptors are open meanwhile.
_ACCEPTS_PER_TURN = 16
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_EXHAUSTION_PAUSE_SECONDS = 0.25
_SWEEPS_PER_LIMIT = 4
_LONGEST_SWEEP_SECONDS = 1.0
_FLUSH_SECONDS = 1.0
_SETTLE_SECONDS = 0.01
# asyncio refuses a time limit of zero.
_SHORTEST_TIMER = 0.001

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Connection:
    """An accepted socket, from the first byte of its handshake on."""

    socket: socket.socket
    accepted_at: float
    network: str
    protocol: HardenedProtocol | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    _has_spoken: bool = False

    @property
    def is_established(self) -> bool:
        return self.protocol is not None and self.protocol.transport is not None

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
    """Serves an ASGI application over HTTP/1.1, with TLS or without, within limits."""

    def __init__(
        self,
        application: ASGI3Application,
        *,
        host: str,
        port: int,
        ssl_context: ssl.SSLContext | None,
        limits: Limits | None = None,
        observe_connections: Callable[[int], None] | None = None,
        observe_turned_away: Callable[[int], None] | None = None,
        spared: Collection[bytes] = (),
    ) -> None:
        """Serve the paths that are ``spared`` however many requests are in flight: they cost next to nothing."""
        self._spared = spared
        self._host, self._requested_port = host, port
        self._ssl_context = ssl_context
        self._limits = limits or Limits()
        self._observe_connections = observe_connections or (lambda count: None)
        # Forwarding headers are never trusted: source addresses decide policies and stand in the audit trail.
        self._config = Config(
            application,
            http=HardenedProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            log_config=None,
            log_level=None,
        )
        self._state = ServerState()
        self._listeners: list[socket.socket] = []
        self._addresses: tuple[tuple[str, int], ...] = ()
        # In the order of their arrival.
        self._connections: dict[_Connection, None] = {}
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._paused_accepts: list[asyncio.TimerHandle] = []
        self._turned_away = TurnedAway(log, "API", observe_turned_away)
        self._capacity = self._limits.max_connections

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return self.addresses[0][1]

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The addresses and ports that the server listens on."""
        return self._addresses

    @property
    def open_connections(self) -> int:
        """How many sockets are open, those in their handshake included."""
        return len(self._connections)

    def use_tls_context(self, context: ssl.SSLContext) -> None:
        """Use another certificate for the connections to come; those that are open keep theirs."""
        self._ssl_context = context

    async def start(self) -> None:
        """Listen and serve; raise OSError if no address of the host can be bound."""
        self._loop = asyncio.get_running_loop()
        self._config.load()
        self._capacity = min(self._limits.max_connections, descriptors_for_connections())
        found = await self._loop.getaddrinfo(
            self._host, self._requested_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        self._listeners = listen([(family, address) for family, _, _, _, address in dict.fromkeys(found)])
        names = [listener.getsockname() for listener in self._listeners]
        self._addresses = tuple((name[0], name[1]) for name in names)
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)
        self._sweep()

    async def stop(self, grace: float) -> None:
        """Accept nothing more, finish the requests in flight within ``grace`` seconds, and close everything."""
        self._stop_listening()
        for connection in tuple(self._connections):
            if connection.protocol is None or not connection.is_established:
                self._drop(connection)
            else:
                connection.protocol.shutdown()
        await self._settle(lambda: not self._state.tasks, grace)
        await self._settle(lambda: not self._connections, min(grace, _FLUSH_SECONDS))
        await self._abandon()
        self._turned_away.close()
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()

    def _stop_listening(self) -> None:
        for timer in self._paused_accepts:
            timer.cancel()
        for listener in self._listeners:
            self._loop.remove_reader(listener)
            listener.close()
        self._listeners, self._paused_accepts = [], []

    async def _settle(self, is_settled: Callable[[], bool], seconds: float) -> None:
        deadline = self._loop.time() + seconds
        while not is_settled() and self._loop.time() < deadline:  # noqa: ASYNC110  # once, at the end; tasks and sockets set no event
            await asyncio.sleep(_SETTLE_SECONDS)

    async def _abandon(self) -> None:
        for connection in tuple(self._connections):
            self._drop(connection)
        tasks = [task for task in self._state.tasks if task.cancel()]
        if tasks:
            log.warning("%d requests were abandoned at the end of the grace period", len(tasks))
            await asyncio.wait(tasks, timeout=_FLUSH_SECONDS)
        # Aborted transports close their sockets in the loop's next turn.
        await asyncio.sleep(0)

    # Accepting

    def _accept(self, listener: socket.socket) -> None:
        for turn in range(_ACCEPTS_PER_TURN):
            try:
                accepted, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Linux says so for an empty queue, too: only the first refusal shows that somebody waits.
                if error.errno in _EXHAUSTED and turn == 0:
                    self._evict("")
                self._pause_accepting(listener, error)
                return
            self._admit(accepted, network_of(address[0]))

    def _pause_accepting(self, listener: socket.socket, error: OSError) -> None:
        """Wait a little: the socket stays readable, and the loop would spin on it."""
        log.warning("cannot accept a connection: %s", in_words(error))
        self._loop.remove_reader(listener)
        resume = self._loop.call_later(
            _EXHAUSTION_PAUSE_SECONDS, self._loop.add_reader, listener, self._accept, listener
        )
        self._paused_accepts = [timer for timer in self._paused_accepts if timer.when() > self._loop.time()]
        self._paused_accepts.append(resume)

    def _admit(self, accepted: socket.socket, network: str) -> None:
        if len(self._connections) >= self._capacity:
            self._turned_away.note()
            if not self._evict(network):
                accepted.close()
                return
        accepted.setblocking(False)
        connection = _Connection(accepted, time.monotonic(), network)
        self._connections[connection] = None
        self._observe_connections(len(self._connections))
        connection.task = self._loop.create_task(self._establish(connection))
        # Not a ``finally`` in the task: one that is cancelled before its first step would never reach it.
        connection.task.add_done_callback(lambda _: self._close_unless_established(connection))

    async def _establish(self, connection: _Connection) -> None:
        def new_protocol() -> HardenedProtocol:
            connection.protocol = HardenedProtocol(
                self._config,
                self._state,
                self._limits,
                self._loop,
                lambda: self._forget(connection),
                self._has_room,
            )
            return connection.protocol

        context = self._ssl_context
        # The first byte is a part of the handshake.
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
        """Return False if the client begins a TLS handshake; raise OSError, also if it says nothing in time."""
        async with asyncio.timeout_at(deadline):
            beginning = await first_bytes(self._loop, accepted)
        if not is_plain_http(beginning):
            return False
        async with asyncio.timeout(self._limits.linger_seconds):
            await refuse_plain_http(self._loop, accepted, self._state.default_headers)
        return True

    def _close_unless_established(self, connection: _Connection) -> None:
        connection.task = None
        if not connection.is_established:
            connection.socket.close()
            self._forget(connection)

    def _evict(self, network: str) -> bool:
        """Close a connection in favour of one of the network; return whether there was one to close."""
        connection = gives_way(self._connections, network, time.monotonic())
        if connection is not None:
            self._drop(connection)
        return connection is not None

    def _has_room(self, raw_path: bytes) -> bool:
        """Return whether a request for the path can be worked on, in the place of another one if necessary."""
        return len(self._state.tasks) < self._limits.max_requests or raw_path in self._spared or self._make_room()

    def _make_room(self) -> bool:
        """End the request whose client has let it wait longest; return whether there was one.

        A client that sends half a body, or reads no answer, has shown no key: it must not keep those out that have one.
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

    def _drop(self, connection: _Connection) -> None:
        if connection.protocol is not None and connection.is_established:
            connection.protocol.transport.abort()
        elif connection.task is not None:
            connection.task.cancel()
        self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        self._connections.pop(connection, None)
        self._observe_connections(len(self._connections))

    # Time

    def _sweep(self) -> None:
        self._turned_away.report()
        now = self._loop.time()
        for protocol in tuple(self._state.connections):
            assert isinstance(protocol, HardenedProtocol)
            protocol.enforce(now)
        date = email.utils.formatdate(usegmt=True).encode("ascii")
        self._state.default_headers[:] = [(b"date", date)]  # RFC 9110, 6.6.1
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
