"""Owns one device's connection from its handshake to its end. Independent of what its requests do.

A task handles the requests one after the other; it exists only while there are requests. Therefore answers are in
order, and the calls to the data plane for one connection do not overlap. The task also closes the connection at the
data plane.
"""

import asyncio
import logging
from datetime import datetime

from thingmint.core.identifiers import certificate_id_of
from thingmint.mqtt.codec.packets import Connect, Disconnect, Pingreq, Pingresp, Puback, Publish, Subscribe, Unsubscribe
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.events import ActionRefused, ClientConnected, ClientDisconnected, DisconnectReason, Refused
from thingmint.mqtt.gateway.connection_index import ConnectionIndex
from thingmint.mqtt.gateway.device_requests import publish, subscribe, unsubscribe
from thingmint.mqtt.gateway.endings import DisconnectTerms, close_above, disconnect_terms, reason_of, reason_string
from thingmint.mqtt.gateway.entry import enter
from thingmint.mqtt.gateway.last_endings import Ending
from thingmint.mqtt.gateway.link.device_link import DeviceLink
from thingmint.mqtt.gateway.link.device_protocol import Request
from thingmint.mqtt.gateway.link.repetition import Repetition
from thingmint.mqtt.gateway.prompt_connection import PromptConnection
from thingmint.mqtt.gateway.request_turns import next_in_turn, next_now
from thingmint.mqtt.gateway.services import Services
from thingmint.mqtt.rights.admission import connect_refused
from thingmint.mqtt.rights.ports import HandshakeSigner, Presented
from thingmint.mqtt.transport.device_transport import DeviceTransport
from thingmint.mqtt.transport.writer import Writer

log = logging.getLogger(__name__)


class GatewayConnection(PromptConnection):
    """The protocol on a transport, and a device's connection for the data plane."""

    __slots__ = (
        "_ended_at",
        "_has_heard_all",
        "_index",
        "_leave",
        "_lost_as",
        "_peer",
        "_worker",
        "is_open_above",
        "is_stale",
    )

    _ended_at: datetime

    def __init__(self, services: Services, index: "ConnectionIndex[GatewayConnection]") -> None:
        super().__init__(services)
        self._index = index
        self.is_open_above = False
        # Set by the gateway when policies change.
        self.is_stale = False
        self._peer: Presented | None = None
        self._has_heard_all = False
        self._leave = DisconnectTerms()
        self._lost_as = DisconnectReason.CONNECTION_LOST
        self._worker: asyncio.Task[None] | None = None

    # For the transport

    def established(self, transport: DeviceTransport, peer: Presented) -> None:
        """Begin; CONNECT is expected next."""
        self._transport, self._peer, services = transport, peer, self._services
        self._writer = Writer(transport, services.limits, services.flushes)
        self.principal_id = shown = (
            peer.target.principal_id if isinstance(peer, HandshakeSigner) else certificate_id_of(peer.leaf)
        )
        self.device = DeviceLink(
            self.protocol,
            self._writer,
            shown,
            transport.address,
            self._end_from_above,
            services.counters,
            self._tell_refused,
        )
        self._index.arrived(self)

    def data_received(self, data: bytes) -> None:
        """Handle the received bytes; while requests are being handled, buffer only a limited number of bytes."""
        if self._worker is None and self._takes_at_once(data):
            return
        self.protocol.feed(data)
        if self._worker is None and not self._is_handled_at_once():
            self._start_working()
        elif self.protocol.buffered > self._services.limits.request_backlog_bytes:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Accept no deliveries and handle no requests, because their answers would only wait, too."""
        self._writer.paused = True

    def resume_writing(self) -> None:
        """Continue with the requests that waited, and ask for the deliveries that were not accepted."""
        self._writer.paused = False
        self._start_working()
        if self.device.admitted is not None:
            self._services.data_plane.resume(self.device)

    def eof_received(self, *, is_farewell: bool = False) -> None:
        """End the connection after the requests before the end of the stream have been handled.

        After a farewell it ends as by DISCONNECT, without the will (developer guide, "Lifecycle events").
        """
        self._has_heard_all = True
        if is_farewell:
            self._leave = DisconnectTerms(cleanly=True)
            self._lost_as = DisconnectReason.CLIENT_INITIATED_DISCONNECT
        self._start_working()

    def writing_lost(self) -> None:
        """Stop delivering and answering; continue to handle the requests that have arrived."""
        self.device.is_over = True
        self._writer.paused = False
        self._start_working()

    def connection_lost(self) -> None:
        """End the connection, if it has not ended yet."""
        self._mark_over(self._lost_as)

    # For the gateway

    def end(
        self, reason: ReasonCode, message: str = "", *, cut: bool = False, told: DisconnectReason | None = None
    ) -> None:
        """End the connection; with ``cut``, discard data that the client has not read.

        Events have AWS IoT's term for the reason, or ``told`` if it is given.
        """
        if self._ending is not None:
            return
        last_packet = self.protocol.last_packet(reason, message)
        if cut:
            self._writer.cut(last_packet)
        else:
            self._writer.close(last_packet)
        self._mark_over(told or reason_of(reason))

    def _end_from_above(self, reason: ReasonCode) -> None:
        self.end(reason, reason_string(reason))

    def remove(self, *, clean_session: bool, prevent_will: bool) -> None:
        """End the connection at an operator's request, and its session or its will if requested."""
        self._leave = DisconnectTerms(cleanly=prevent_will, session_expiry_interval=0 if clean_session else None)
        self.end(
            ReasonCode.ADMINISTRATIVE_ACTION,
            "The connection was deleted",
            told=DisconnectReason.API_INITIATED_DISCONNECT,
        )

    def end_without_will(self) -> None:
        """End the connection without its will: other nodes have declared it lost and publish the will."""
        self._leave = DisconnectTerms(cleanly=True)
        self.end(ReasonCode.SERVER_UNAVAILABLE, "The node was cut off from the others", cut=True)

    # Work

    @property
    def _is_working(self) -> bool:
        return self._worker is not None

    def _start_working(self) -> None:
        if self._worker is not None:
            return
        self._worker = self._services.loop.create_task(self._work())
        self._services.work.add(self._worker)
        self._worker.add_done_callback(self._services.work.discard)

    def _mark_over(self, reason: DisconnectReason) -> None:
        if self._ending is None:
            self._ending, self.device.is_over = reason, True
            self._index.left(self)
            if self.device.admitted is not None:
                self._services.listeners.forget(self.device)
                self._note_ending(reason)
            self._start_working()

    def _note_ending(self, reason: DisconnectReason) -> None:
        """Record the ending now, because events are sent later, and those of two connections in any order."""
        self._ended_at = self._services.clock.now()
        ending = Ending(self._ended_at, reason, self.protocol.keep_alive, self.is_clean, self._session_expiry)
        self._services.last_endings.record(self.device.scope, self.client_id, ending)

    async def _work(self) -> None:
        try:
            await self._work_through()
        except PacketRefused as refusal:
            log.debug("%r: %s", self._transport, refusal.message)
            if self.device.admitted is None and self._ending is None:
                self._tell_connect_refused(refusal)
            self.end(refusal.reason_code, refusal.message)
        except Exception:
            log.exception("a request of a device failed")
            self.end(ReasonCode.UNSPECIFIED_ERROR)
        await self._take_leave_if_over()
        self._worker = None
        self._transport.resume_reading()

    async def _work_through(self) -> None:
        while self._may_go_on():
            self._pass_on_repeated()
            # Mostly there is time, and a coroutine for each message would cost some of it.
            request = next_now(self.protocol, self._services)
            if request is None:
                request = await self._next_in_turn()
            if request is None:
                await self._end_of_requests()
                return
            self._last_heard_at = self._services.loop.time()
            if self._ending is None:
                await self._meet(request)

    async def _next_in_turn(self) -> Request | None:
        if self.device.admitted is not None:
            return await next_in_turn(self.protocol, self._services, self.scope, self._may_go_on)
        # Other connections may need a place meanwhile, and this one is nearer to its end.
        self._services.handles_connect(self._transport, begins=True)
        request = await next_in_turn(self.protocol, self._services, self.scope, self._may_go_on)
        if request is None:
            self._services.handles_connect(self._transport, begins=False)
        return request

    async def _end_of_requests(self) -> None:
        if not (self._has_heard_all and self._may_go_on()):
            return
        # Thousands of devices may be lost at once.
        if self._services.slow_turns.is_over:
            await self._services.slow_turns.later(self.scope)
        if self._may_go_on():
            self._writer.close(b"")
            self._mark_over(self._lost_as)

    async def _meet(self, request: Request) -> None:
        self.enforce_validity(self._services.clock.now())
        if self.is_over:
            return
        match request:
            case Publish():
                await self._publish(request)
            case Puback():
                self._acknowledged(request.packet_id)
            case Pingreq():
                self.device.send(Pingresp())
            case Subscribe():
                await subscribe(self.device, self._services, request)
                self._services.observe_kept()
            case Unsubscribe():
                await unsubscribe(self.device, self._services, request)
            case Connect():
                await self._connect(request)
            case Disconnect():
                self._left(request)

    async def _publish(self, message: Publish) -> None:
        authorizer = self.device.authorizer
        is_accepted = await publish(self.device, self._services, message)
        if is_accepted and self._repetition is not None:
            self._repetition.accepted(message, authorizer, is_5=self.protocol.is_5)

    async def _connect(self, connect: Connect) -> None:
        assert self._peer is not None, "the handshake comes first"
        self._services.handles_connect(self._transport, begins=True)
        opened = await enter(self, self._services, self._index, self._peer, connect)
        if opened is None:
            return
        services, self._peer = self._services, None
        self._opened_at, self._session_expiry = services.clock.now(), opened.session_expiry_interval
        self._index.was_accepted(self)
        services.deadlines.watch(self)
        services.last_endings.forget(self.device.scope, self.client_id)
        services.admit(self._transport, self.device.scope)
        self._writer.write(self.protocol.accept(opened))
        services.events.receive(ClientConnected(self.device.link, self._opened_at))
        taker = services.data_plane.taker_of(self.device)
        self._repetition = None if taker is None else Repetition(taker)
        services.data_plane.resume(self.device)

    def _tell_connect_refused(self, refusal: PacketRefused) -> None:
        services, address = self._services, self._transport.address
        event = connect_refused(refusal, self.principal_id, address, services.clock.now(), self.client_id, self.scope)
        services.events.receive(event)

    def _tell_refused(self, refused: Refused) -> None:
        self._services.events.receive(ActionRefused(self.device.link, self._services.clock.now(), refused))

    def _left(self, disconnect: Disconnect) -> None:
        self._leave = disconnect_terms(disconnect)
        self._writer.close(b"")
        self._mark_over(DisconnectReason.CLIENT_INITIATED_DISCONNECT)

    async def _take_leave_if_over(self) -> None:
        if self._ending is None:
            return
        services = self._services
        if self.is_open_above:
            self.is_open_above = False
            await close_above(services, self.device, self._leave)
        if self.device.admitted is not None:
            self.device.admitted = None
            services.events.receive(ClientDisconnected(self.device.link, self._ended_at, self._ending))
        # The two would keep each other until the next full collection of garbage.
        self.device.let_go()
        self._repetition = None
