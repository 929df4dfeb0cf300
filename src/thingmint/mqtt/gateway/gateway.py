"""Owns the device gateway: start, stop, and changes that affect open connections. Independent of packets.

The code that changes a certificate's status, policies or attachments notifies the gateway after the commit. Devices are
disconnected, or get the new policies, at once and not at their next CONNECT.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from OpenSSL import SSL

from thingmint.core.clock import Clock
from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.core.identifiers import Scope
from thingmint.core.principals import PrincipalTarget
from thingmint.host.connections.listening import network_of
from thingmint.host.connections.proxied import TrustedProxies
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.counters import Counters, Gauge
from thingmint.mqtt.data_plane import DataPlane
from thingmint.mqtt.gateway.connection import GatewayConnection
from thingmint.mqtt.gateway.connection_index import ConnectionIndex
from thingmint.mqtt.gateway.endings import reason_string
from thingmint.mqtt.gateway.event_listeners import EventListeners
from thingmint.mqtt.gateway.last_endings import Ending, LastEndings
from thingmint.mqtt.gateway.policy_refresh import PolicyRefresh
from thingmint.mqtt.gateway.provisioning_queue import ProvisioningQueue
from thingmint.mqtt.gateway.services import Services
from thingmint.mqtt.pacing.deadlines import Deadlines
from thingmint.mqtt.pacing.loop_lag import LoopLag
from thingmint.mqtt.pacing.turns import Turns
from thingmint.mqtt.rights.ports import DeviceRegistry, GatewayEventSink, HandshakeSigner, Responder
from thingmint.mqtt.transport.flushes import Flushes
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.listener import Listener
from thingmint.mqtt.transport.memory_trimmer import MemoryTrimmer, glibc_trim
from thingmint.mqtt.web_sockets.transport import WebSocketTransport
from thingmint.registration.kernel.turns import Pace

_TICK_SECONDS: Final = 1.0
_FLUSH_SECONDS: Final = 1.0
_SETTLE_SECONDS: Final = 0.01


class Gateway:
    """Serves devices over MQTT, with mutual TLS on ports of its own, or in WebSockets of another server."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        also: Sequence[tuple[str, int]] = (),
        tls_context: SSL.Context,
        registry: DeviceRegistry,
        responder: Responder,
        data_plane: DataPlane,
        events: GatewayEventSink,
        clock: Clock,
        limits: GatewayLimits | None = None,
        observe_connections: Callable[[int], None] | None = None,
        counters: Counters | None = None,
        observe_accepted: Callable[[], None] | None = None,
        observe_kept: Callable[[], None] | None = None,
        observe_turned_away: Callable[[int], None] | None = None,
        shares_ports: bool = False,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self._limits = limits or GatewayLimits()
        self._counters = counters or Counters()
        self._provisioning = ProvisioningQueue(responder, self._limits, self._counters)
        self._index: ConnectionIndex[GatewayConnection] = ConnectionIndex()
        self._listeners = EventListeners(self._counters)
        self._deadlines = Deadlines()
        self._deadlines_rest: asyncio.Handle | None = None
        self.last_endings = LastEndings()
        """How the last connections of clients ended."""
        self._listener = Listener(
            lambda: GatewayConnection(self._services, self._index),
            host=host,
            port=port,
            also=also,
            tls_context=tls_context,
            limits=self._limits,
            observe_connections=observe_connections,
            observe_accepted=observe_accepted,
            observe_turned_away=observe_turned_away,
            shares_ports=shares_ports,
            proxies=proxies,
        )
        self._data_plane = data_plane
        self._new_services = functools.partial(
            Services,
            registry=registry,
            data_plane=data_plane,
            provisioning=self._provisioning,
            events=events,
            listeners=self._listeners,
            deadlines=self._deadlines,
            last_endings=self.last_endings,
            clock=clock,
            limits=self._limits,
            admit=self._listener.admit,
            handles_connect=self._listener.handles_connect,
            counters=self._counters,
            observe_kept=observe_kept or (lambda: None),
        )
        self._policy_refresh = PolicyRefresh(observe_kept or (lambda: None))
        self._ender: asyncio.Task[None] | None = None
        self._to_end: deque[GatewayConnection] = deque()

    @property
    def port(self) -> int:
        """The port that devices connect to."""
        return self._listener.port

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of all configured addresses."""
        return self._listener.ports

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The addresses and ports on which the gateway listens."""
        return self._listener.addresses

    @property
    def is_listening(self) -> bool:
        """Whether connections are accepted."""
        return self._listener.is_listening

    @property
    def open_connections(self) -> int:
        """How many sockets are open, including those before CONNECT."""
        return self._listener.open_connections

    @property
    def connected_devices(self) -> int:
        """How many connections were accepted and are open."""
        return self._index.accepted_count

    def use_tls_context(self, context: SSL.Context) -> None:
        """Use another server certificate for new connections; open connections keep theirs."""
        self._listener.use_tls_context(context)

    async def start(self) -> None:
        """Listen and serve; raise OSError if no address of the host can be bound."""
        loop = asyncio.get_running_loop()
        self._services = self._new_services(loop=loop, turns=Turns(loop), slow_turns=Turns(loop), flushes=Flushes(loop))
        await self._data_plane.start()
        await self._listener.start()
        self._lag = LoopLag(loop, self._counters.observer.loop_lag)
        trim = glibc_trim()
        # In a thread, because it takes milliseconds and lets others run.
        self._trimmer = MemoryTrimmer(lambda: trim and loop.run_in_executor(None, trim, 0))
        self._tick()

    def open_web_socket(
        self,
        signer: HandshakeSigner,
        sockets: tuple[tuple[str, int], tuple[str, int]],
        switch: Callable[[asyncio.Protocol], bool],
    ) -> bool:
        """Serve the client whose opening handshake the signer has signed; CONNECT is expected next.

        ``switch`` answers the handshake and connects the protocol to its transport, or returns False, as this method
        does then. ``sockets`` are the addresses and ports of the client and of the server. Raises Throttled if there is
        no room, ServiceUnavailable if the gateway does not listen.
        """
        if not self.is_listening:
            raise ServiceUnavailable("The device gateway is not listening")

        def begin(transport: WebSocketTransport) -> GatewayConnection:
            connection = GatewayConnection(self._services, self._index)
            connection.established(transport, signer)
            return connection

        transport = WebSocketTransport(
            begin, sockets=sockets, limits=self._limits, owner=self._listener, loop=self._services.loop
        )
        if not self._listener.adopt(transport, network_of(transport.address)):
            raise Throttled
        if not switch(transport):
            self._listener.lost(transport)
            return False
        return True

    async def stop(self, grace: float) -> None:
        """Stop accepting, send pending answers within ``grace`` seconds, send DISCONNECT, and close all connections."""
        self._listener.stop_listening()
        await self._provisioning.settle(grace)
        pace = Pace()
        for connection in self._index.accepted:
            connection.end(ReasonCode.SERVER_SHUTTING_DOWN, "The service stops")
            await pace.rest()
        await self._settle(lambda: not self._services.work and not self.open_connections, min(grace, _FLUSH_SECONDS))
        await self._listener.stop()
        self._tick_timer.cancel()
        if self._deadlines_rest is not None:
            self._deadlines_rest.cancel()
        self._lag.stop()
        work = {*self._services.work, *(task for task in (self._policy_refresh.task, self._ender) if task)}
        if work:
            _done, abandoned = await asyncio.wait(work, timeout=_FLUSH_SECONDS)
            for task in abandoned:
                task.cancel()
            if abandoned:
                # They let go of what they hold, such as connections to a broker.
                await asyncio.wait(abandoned, timeout=_FLUSH_SECONDS)
        await self._data_plane.stop()

    def principal_ended(self, target: PrincipalTarget) -> None:
        """End the connections, also those before CONNECT, of a certificate that is not ACTIVE, or a deleted key."""
        self._to_end.extend(self._index.of_target(target))
        if self._ender is None and not self._end_some():
            self._ender = self._services.loop.create_task(self._end_rest())

    def has_connection_of(self, target: PrincipalTarget) -> bool:
        """Return whether a connection, also one before CONNECT, has an account's certificate or access key."""
        return bool(self._index.of_target(target))

    def policies_changed(self, targets: Iterable[PrincipalTarget] | None = None) -> None:
        """Apply the policies that are attached now to the connections of these principals, or to all connections."""
        self._policy_refresh.refresh(self._index.all_of(targets), self._services.loop)

    def has_listeners(self, scope: Scope) -> bool:
        """Return whether a client of the account may get its events."""
        return self._listeners.has_any(scope)

    def publish_event(self, scope: Scope, topic: str, payload: bytes) -> None:
        """Send an account's event to each of its clients that has subscribed to it and may receive it."""
        self._listeners.publish_event(scope, topic, payload)

    def connection_of(self, scope: Scope, client_id: str) -> GatewayConnection | None:
        """Return the connection of an account's client whose CONNECT was accepted, or None."""
        return self._index.of_client(scope, client_id)

    def connections_of_account(self, scope: Scope) -> Mapping[str, GatewayConnection]:
        """Return the connections of an account whose CONNECT was accepted, by client id."""
        return self._index.of_account(scope)

    @property
    def accepted_connections(self) -> frozenset[GatewayConnection]:
        """The connections whose CONNECT was accepted, as of now."""
        return self._index.accepted

    def taken_over(self, scope: Scope, client_id: str, session_id: str) -> None:
        """End the connection of a client that has connected to another node; do nothing if it has already ended."""
        connection = self.connection_of(scope, client_id)
        if connection is not None and connection.device.session_id == session_id:
            connection.end(ReasonCode.SESSION_TAKEN_OVER, reason_string(ReasonCode.SESSION_TAKEN_OVER))

    async def end_all_without_wills(self) -> None:
        """End every connection without its will, because other nodes have declared them lost and publish the wills.

        It works in time slices, and also ends connections that are accepted meanwhile.
        """
        pace = Pace()
        while connections := self.accepted_connections:
            for connection in connections:
                connection.end_without_will()
                await pace.rest()

    def last_ending_of(self, scope: Scope, client_id: str) -> Ending | None:
        """Return how the last connection of an account's client ended; None while it is connected, or if not known."""
        return self.last_endings.of_client(scope, client_id)

    def delete_connection(
        self, scope: Scope, client_id: str, *, clean_session: bool = False, prevent_will_message: bool = False
    ) -> bool:
        """Disconnect a client; end its session and suppress its will if requested. Return whether it was connected."""
        connection = self.connection_of(scope, client_id)
        if connection is None:
            return False
        connection.remove(clean_session=clean_session, prevent_will=prevent_will_message)
        return True

    def _end_some(self) -> bool:
        """End connections whose principals have ended for one time slice; return whether none is left."""
        pace = Pace()
        while self._to_end:
            connection = self._to_end.popleft()
            connection.end(ReasonCode.ADMINISTRATIVE_ACTION, "The credentials are not valid any more", cut=True)
            if pace.is_over:
                break
        return not self._to_end

    async def _end_rest(self) -> None:
        finished = False
        while not finished:
            await asyncio.sleep(0)
            finished = self._end_some()
        self._ender = None

    async def _settle(self, is_settled: Callable[[], bool], seconds: float) -> None:
        deadline = self._services.loop.time() + seconds
        while not is_settled() and self._services.loop.time() < deadline:  # noqa: ASYNC110  # once, at the end; sockets set no event
            await asyncio.sleep(_SETTLE_SECONDS)

    def _tick(self) -> None:
        loop = self._services.loop
        self._tick_timer = loop.call_later(_TICK_SECONDS, self._tick)
        if self._deadlines_rest is None:
            self._enforce_deadlines()
        self._data_plane.advance()
        self._counters.measured(self._measured())
        self._counters.tick(loop.time())
        self._trimmer.observe(self.open_connections)

    def _enforce_deadlines(self) -> None:
        """End connections whose time has passed, for one time slice, and the rest in later turns of the event loop."""
        loop, pace = self._services.loop, Pace()
        is_finished = self._deadlines.advance(
            loop.time(), self._services.clock.now(), self._index.all_accepted, lambda: pace.is_over
        )
        self._deadlines_rest = None if is_finished else loop.call_soon(self._enforce_deadlines)

    def _measured(self) -> dict[Gauge, int]:
        return {
            Gauge.CONNECTIONS_ACCEPTED: self.connected_devices,
            Gauge.CONNECTIONS_UNAUTHENTICATED: max(0, self.open_connections - self.connected_devices),
            Gauge.PROVISIONING: len(self._provisioning),
        }
