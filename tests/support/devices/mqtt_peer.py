"""Owns a device that speaks MQTT packet by packet, well or badly, as it is told to."""

import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from tests.support.devices.device_gateway import LiveGateway
from tests.support.devices.device_identities import Identity
from tests.support.machine.loop_thread import GENEROUS

from thingmint.mqtt.codec.codec import decode_server_packet, encode
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import (
    Connack,
    Connect,
    Packet,
    Pingreq,
    Pingresp,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    ServerPacket,
    Suback,
    Subscribe,
    Subscription,
)
from thingmint.mqtt.codec.reason_codes import ReasonCode

V3, V5 = ProtocolVersion.MQTT_3_1_1, ProtocolVersion.MQTT_5
P = TypeVar("P", bound=ServerPacket)
_READ = 65_536


class Peer:
    """One connection."""

    def __init__(self, connection: socket.socket, version: ProtocolVersion) -> None:
        self.socket = connection
        self.version = version
        self._reader = FrameReader(300_000)
        self._last_id = 0
        self._heard: deque[ServerPacket] = deque()

    # Speaking

    def send(self, *packets: Packet) -> None:
        """Send packets in one piece."""
        self.send_bytes(b"".join(encode(packet, self.version) for packet in packets))

    def send_bytes(self, data: bytes) -> None:
        """Send as much as the gateway takes: it may close first."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            self.socket.sendall(data)

    def new_id(self) -> int:
        """Return a packet id that was not used yet."""
        self._last_id += 1
        return self._last_id

    # Hearing

    def next_packet(self) -> ServerPacket | None:
        """Return the next packet; None if the gateway closes instead."""
        if self._heard:
            return self._heard.popleft()
        while (frame := self._reader.next_frame()) is None:
            try:
                received = self.socket.recv(_READ)
            except (ConnectionError, ssl.SSLError):
                received = b""
            if not received:
                return None
            self._reader.feed(received)
        return decode_server_packet(frame, self.version)

    def expect(self, kind: type[P]) -> P:
        """Return the next packet, which must be of this kind."""
        packet = self.next_packet()
        assert isinstance(packet, kind), packet
        return packet

    def is_closed(self) -> bool:
        """Wait for the end of the connection; False if something else arrives."""
        return self.next_packet() is None

    # Doing

    def connect(self, client_id: str = "device", **fields: Any) -> Connack:
        """Send CONNECT and return the CONNACK."""
        self.send(Connect(self.version, client_id, **fields))
        return self.expect(Connack)

    def subscribe(self, *topic_filters: str, qos: QoS = QoS.AT_LEAST_ONCE) -> tuple[ReasonCode, ...]:
        """Subscribe and return SUBACK's codes."""
        subscriptions = tuple(Subscription(topic_filter, qos) for topic_filter in topic_filters)
        self.send(Subscribe(self.new_id(), subscriptions))
        return self.expect(Suback).reason_codes

    def publish(self, topic: str, payload: bytes = b"", **fields: Any) -> ReasonCode:
        """Publish at QoS 1 and return PUBACK's code."""
        packet_id = self.new_id()
        self.send(Publish(topic, payload, QoS.AT_LEAST_ONCE, packet_id=packet_id, **fields))
        # A client that has subscribed to what it publishes may hear of that first.
        heard_meanwhile = []
        while isinstance(packet := self.next_packet(), Publish):
            heard_meanwhile.append(packet)
        self._heard.extend(heard_meanwhile)
        assert isinstance(packet, Puback), packet
        assert packet.packet_id == packet_id
        return packet.reason_code

    def is_served(self) -> bool:
        """Say whether the gateway answers, and has nothing else to say before."""
        self.send(Pingreq())
        return isinstance(self.next_packet(), Pingresp)


@contextlib.contextmanager
def peer(
    live: LiveGateway,
    identity: Identity,
    version: ProtocolVersion = V3,
    *,
    tls_version: ssl.TLSVersion | None = None,
    port: int | None = None,
    alpn: Sequence[str] = (),
) -> Iterator[Peer]:
    """Open a connection and shake hands, on the gateway's first port unless another is given."""
    plain = socket.create_connection(("127.0.0.1", port or live.port), timeout=GENEROUS)
    context = live.context(identity, version=tls_version)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    with plain, context.wrap_socket(plain, server_hostname="localhost") as wrapped:
        yield Peer(wrapped, version)


@contextlib.contextmanager
def connected_peer(
    live: LiveGateway,
    identity: Identity,
    version: ProtocolVersion = V3,
    client_id: str = "device",
    **fields: Any,
) -> Iterator[Peer]:
    """Open a connection, and send the CONNECT that is accepted."""
    with peer(live, identity, version) as opened:
        assert opened.connect(client_id, **fields).reason_code is ReasonCode.SUCCESS
        yield opened
