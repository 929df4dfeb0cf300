"""Owns one device's connection from its handshake to its end; what its requests lead to is written in `device_requests`.

Requests are worked through one after the other, by a task that exists only while there are any: so answers keep their
order, and the data plane hears of one connection one thing at a time. The task also takes leave of the data plane.
"""

import asyncio
import logging
import uuid
from dataclasses import dataclass
from typing import Final

from thingmint.core.identifiers import CertificateId, certificate_id_of
from thingmint.mqtt.admission import Admitted, NotAdmitted, admit
from thingmint.mqtt.data_plane import GATEWAY_PACKET_IDS
from thingmint.mqtt.device_requests import publish, subscribe, unsubscribe
from thingmint.mqtt.events import ClientConnected, ClientDisconnected, ConnectRefused, DisconnectReason, Link
from thingmint.mqtt.writer import Writer
from thingmint.mqtt.own_filters import OwnFilters
from thingmint.mqtt.packets import (
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    ServerPacket,
    Subscribe,
    Unsubscribe,
)
from thingmint.mqtt.permissions import to_connect, to_receive
from thingmint.mqtt.ports import Authorizer, FleetAnswer, FleetRequester
from thingmint.mqtt.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.roster import Roster
from thingmint.mqtt.services import Services
from thingmint.mqtt.device_protocol import Request, DeviceProtocol
from thingmint.mqtt.tls import Peer
from thingmint.mqtt.tls_transport import TLSTransport

# How many requests of one device are worked through before others have their turn.
_REQUESTS_PER_TURN: Final = 64
_REASONS: Final = {
    ReasonCode.NOT_AUTHORIZED: DisconnectReason.AUTH_ERROR,
    ReasonCode.SESSION_TAKEN_OVER: DisconnectReason.DUPLICATE_CLIENTID,
    ReasonCode.KEEP_ALIVE_TIMEOUT: DisconnectReason.MQTT_KEEP_ALIVE_TIMEOUT,
    ReasonCode.ADMINISTRATIVE_ACTION: DisconnectReason.SERVER_INITIATED_DISCONNECT,
    ReasonCode.SERVER_SHUTTING_DOWN: DisconnectReason.SERVER_INITIATED_DISCONNECT,
    ReasonCode.UNSPECIFIED_ERROR: DisconnectReason.SERVER_ERROR,
    ReasonCode.SERVER_UNAVAILABLE: DisconnectReason.SERVER_ERROR,
    ReasonCode.SERVER_BUSY: DisconnectReason.SERVER_ERROR,
}

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Leave:
    """How the data plane is to be told of the end; a connection that is cut off has not left cleanly."""

    cleanly: bool = False
    session_expiry_interval: int | None = None


class Connection:
    """A TLS protocol towards the transport, a device's connection towards the data plane."""

    __slots__ = (
        "_admitted",
        "_answers",
        "_ending",
        "_in_flight",
        "_is_open_above",
        "_last_answer",
        "_last_heard_at",
        "_leave",
        "_writer",
        "_peer",
        "_roster",
        "_services",
        "_session_id",
        "_transport",
        "_worker",
        "certificate_id",
        "filters",
        "is_stale",
        "provisioning",
        "session",
    )

    certificate_id: CertificateId
    _transport: TLSTransport
    _writer: Writer

    def __init__(self, services: Services, roster: "Roster[Connection]") -> None:
        self._services = services
        self._roster = roster
        self.session = DeviceProtocol(services.limits.connect_bytes)
        self.filters = OwnFilters()
        self.provisioning = 0
        # Set by the gateway when policies change.
        self.is_stale = False
        self._peer: Peer | None = None
        self._admitted: Admitted | None = None
        self._is_open_above = False
        self._ending: DisconnectReason | None = None
        self._leave = _Leave()
        self._worker: asyncio.Task[None] | None = None
        self._last_heard_at = 0.0
        self._session_id = ""
        self._in_flight: set[int] = set()
        self._answers: set[int] = set()
        self._last_answer = GATEWAY_PACKET_IDS.start

    # For the transport

    def established(self, transport: TLSTransport, peer: Peer) -> None:
        """Begin: CONNECT comes next."""
        self._transport, self._peer = transport, peer
        self._writer = Writer(transport, self._services.limits, self._services.loop)
        self.certificate_id = certificate_id_of(peer.leaf)
        self._roster.arrived(self)

    def data_received(self, data: bytes) -> None:
        """Work through what has arrived; while that takes its time, take only so much more."""
        if self._ending is not None:
            return
        self.session.feed(data)
        if self._worker is None:
            self._start_working()
        elif self.session.buffered > self._services.limits.request_backlog_bytes:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """Take no more deliveries."""
        self._writer.paused = True

    def resume_writing(self) -> None:
        """Ask for the deliveries that were not taken."""
        self._writer.paused = False
        if self._is_accepted:
            self._services.data_plane.resume(self)

    def connection_lost(self) -> None:
        """Take leave, if the connection did not end before."""
        self._mark_over(DisconnectReason.CONNECTION_LOST)

    # For the data plane

    @property
    def client_id(self) -> str:
        """The client id, also when the server chose it."""
        return self.session.client_id

    @property
    def version(self) -> ProtocolVersion:
        """The version of its CONNECT."""
        version = self.session.version
        assert version is not None, "the data plane hears of a connection at its CONNECT"
        return version

    @property
    def receive_window(self) -> int:
        """How many unacknowledged messages of the data plane the client takes."""
        return self.session.receive_maximum - len(self._answers)

    @property
    def own_filters(self) -> int:
        """How many filters the connection keeps to itself."""
        return len(self.filters)

    def may_receive(self, topic: str) -> bool:
        """Say whether its policies allow iot:Receive on the topic."""
        return to_receive(topic).is_given_by(self.authorizer)

    def deliver(self, message: Publish) -> bool:
        """Write the message; return False, having written nothing, if the client does not read fast enough."""
        if self._ending is not None or self._writer.is_congested:
            return False
        encoded = self.session.bytes_of(message)
        if encoded is not None:
            self._writer.write(encoded)
        if message.packet_id and encoded is None:
            # Nobody will acknowledge what was dropped for its size.
            self._services.loop.call_soon(self._services.data_plane.acknowledge, self, message.packet_id)
        elif message.packet_id:
            self._in_flight.add(message.packet_id)
        return True

    def disconnect(self, reason_code: ReasonCode) -> None:
        """End the connection with the reason."""
        self.end(reason_code)

    # For the gateway

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended, for devices if not yet for sockets."""
        return self._ending is not None

    def end(self, reason: ReasonCode, message: str = "", *, cut: bool = False) -> None:
        """End the connection; ``cut`` throws away what the client has not read yet."""
        if self._ending is not None:
            return
        last_words = self.session.farewell(reason, message)
        if cut:
            self._writer.cut(last_words)
        else:
            self._writer.close(last_words)
        self._mark_over(_REASONS.get(reason, DisconnectReason.CLIENT_ERROR))

    def remove(self, *, clean_session: bool, prevent_will: bool) -> None:
        """End the connection by an operator's wish, and with it its session or its will."""
        self._leave = _Leave(cleanly=prevent_will, session_expiry_interval=0 if clean_session else None)
        self.end(ReasonCode.ADMINISTRATIVE_ACTION, "The connection was deleted")

    def enforce_keep_alive(self, now: float) -> None:
        """End the connection if its client has been silent for too long."""
        # A client whose requests wait for the service is not silent.
        if self._worker is None and now - self._last_heard_at > self.session.silence_limit:
            self.end(ReasonCode.KEEP_ALIVE_TIMEOUT, "Nothing was heard within the keep-alive time")

    async def refresh_policies(self) -> None:
        """Bind the policies that are attached now; end the connection if they no longer allow it."""
        if self._admitted is None or self._ending is not None:
            # Whoever is still connecting notices by itself.
            return
        admitted = self._admitted
        self.is_stale = False
        admitted.authorizer = await admitted.device.authorizer(admitted.facts)
        if not to_connect(self.client_id).is_given_by(admitted.authorizer):
            self.end(ReasonCode.NOT_AUTHORIZED, "Not authorized any more", cut=True)

    # For requests

    @property
    def authorizer(self) -> Authorizer:
        """Its policies."""
        return self._whom().authorizer

    @property
    def requester(self) -> FleetRequester:
        """Who it is."""
        admitted = self._whom()
        return FleetRequester(admitted.device, self.client_id, self._transport.address)

    @property
    def link(self) -> Link:
        """How events call it."""
        return Link(self.client_id, self.certificate_id, self._session_id, self._transport.address)

    def send(self, packet: ServerPacket) -> None:
        """Write an answer to a request, unless it is larger than the client takes or the connection is over."""
        encoded = self.session.bytes_of(packet)
        if encoded is not None and self._ending is None:
            self._writer.write(encoded)

    def answered(self, answer: FleetAnswer) -> None:
        """Write the answer of a provisioning request to this connection, or forget it with the connection.

        Its packet id is remembered here only. The payload is not: it is sent once or never.
        """
        if self._ending is not None:
            return
        qos, packet_id = QoS.AT_MOST_ONCE, 0
        has_room = len(self._in_flight) + len(self._answers) < self.session.receive_maximum
        if self.filters.qos_for(answer.topic) is QoS.AT_LEAST_ONCE and has_room:
            qos, packet_id = QoS.AT_LEAST_ONCE, self._next_answer()
        self.send(Publish(answer.topic, answer.payload, qos, packet_id=packet_id))

    # Work

    @property
    def _is_accepted(self) -> bool:
        return self._admitted is not None

    def _whom(self) -> Admitted:
        assert self._admitted is not None, "nothing is asked before CONNECT was accepted"
        return self._admitted

    def _next_answer(self) -> int:
        # Receive Maximum keeps most ids free.
        packet_id = self._last_answer
        while packet_id in self._answers:
            packet_id = packet_id + 1 if packet_id + 1 in GATEWAY_PACKET_IDS else GATEWAY_PACKET_IDS.start
        self._last_answer = packet_id + 1 if packet_id + 1 in GATEWAY_PACKET_IDS else GATEWAY_PACKET_IDS.start
        self._answers.add(packet_id)
        return packet_id

    def _start_working(self) -> None:
        self._worker = self._services.loop.create_task(self._work())
        self._services.work.add(self._worker)
        self._worker.add_done_callback(self._services.work.discard)

    def _mark_over(self, reason: DisconnectReason) -> None:
        if self._ending is None:
            self._ending = reason
            self._roster.left(self)
            if self._worker is None:
                self._start_working()

    async def _work(self) -> None:
        try:
            await self._work_through()
        except PacketRefused as refusal:
            log.debug("%r: %s", self._transport, refusal.message)
            self.end(refusal.reason_code, refusal.message)
        except Exception:
            log.exception("a request of a device failed")
            self.end(ReasonCode.UNSPECIFIED_ERROR)
        if self._ending is not None:
            await self._take_leave()
        self._worker = None
        self._transport.resume_reading()

    async def _work_through(self) -> None:
        in_this_turn = 0
        while self._ending is None and (request := self.session.next_request()) is not None:
            self._last_heard_at = self._services.loop.time()
            await self._meet(request)
            in_this_turn += 1
            if in_this_turn == _REQUESTS_PER_TURN:
                in_this_turn = 0
                await asyncio.sleep(0)

    async def _meet(self, request: Request) -> None:
        match request:
            case Publish():
                await publish(self, self._services, request)
            case Puback():
                self._acknowledged(request.packet_id)
            case Pingreq():
                self.send(Pingresp())
            case Subscribe():
                await subscribe(self, self._services, request)
            case Unsubscribe():
                await unsubscribe(self, self._services, request)
            case Connect():
                await self._connect(request)
            case Disconnect():
                self._left(request)

    async def _connect(self, connect: Connect) -> None:
        services = self._services
        admitted = await self._ask_admission(connect)
        if self._ending is not None:
            return
        opened = await services.data_plane.open(self, connect)
        self._is_open_above = True
        while self.is_stale and self._ending is None:
            admitted = await self._ask_admission(connect)
        if self._ending is not None:
            return
        self._admitted, self._peer = admitted, None
        self._session_id = str(uuid.uuid4())
        self._roster.was_accepted(self)
        services.admit(self._transport)
        self._writer.write(self.session.accept(opened))
        services.events.heard(ClientConnected(self.link, services.clock.now()))
        services.data_plane.resume(self)

    async def _ask_admission(self, connect: Connect) -> Admitted:
        assert self._peer is not None, "the handshake comes first"
        services, address = self._services, self._transport.address
        self.is_stale = False
        try:
            return await admit(services.registry, self._peer, address, connect, self.client_id)
        except NotAdmitted as refusal:
            now = services.clock.now()
            services.events.heard(ConnectRefused(self.certificate_id, address, now, refusal.why))
            raise

    def _acknowledged(self, packet_id: int) -> None:
        if packet_id in GATEWAY_PACKET_IDS:
            self._answers.discard(packet_id)
        else:
            self._in_flight.discard(packet_id)
            self._services.data_plane.acknowledge(self, packet_id)
        self._services.data_plane.resume(self)

    def _left(self, disconnect: Disconnect) -> None:
        self._leave = _Leave(
            cleanly=disconnect.reason_code is not ReasonCode.DISCONNECT_WITH_WILL_MESSAGE,
            session_expiry_interval=disconnect.properties.session_expiry_interval,
        )
        self._writer.close(b"")
        self._mark_over(DisconnectReason.CLIENT_INITIATED_DISCONNECT)

    async def _take_leave(self) -> None:
        assert self._ending is not None
        services = self._services
        if self._is_open_above:
            self._is_open_above = False
            # A client whose CONNECT was never accepted has no will.
            cleanly = self._leave.cleanly or not self._is_accepted
            try:
                await services.data_plane.close(
                    self, clean=cleanly, session_expiry_interval=self._leave.session_expiry_interval
                )
            except Exception:
                log.exception("the data plane could not close a connection")
        if self._is_accepted:
            ended = ClientDisconnected(self.link, services.clock.now(), self._ending)
            self._admitted = None
            services.events.heard(ended)
