"""Owns the MQTT protocol's state on one connection: decodes bytes into requests, and encodes packets into bytes.

Independent of sockets, policies and the handling of messages. The limits are AWS IoT's. PacketRefused is raised for a
violation of the protocol or of a limit, and the connection must then end.
"""

import re
import uuid
from dataclasses import replace
from typing import Final, TypeAlias

from thingmint.core.error_text import in_words
from thingmint.core.topics.names import InvalidTopic, UnsafeTopic, check_topic
from thingmint.mqtt.codec.aliases import TopicAliases
from thingmint.mqtt.codec.codec import UNSUPPORTED_VERSION_ANSWER, decode_client_packet, encode
from thingmint.mqtt.codec.framing import FrameReader
from thingmint.mqtt.codec.packets import (
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    ProtocolVersion,
    Puback,
    Publish,
    QoS,
    ServerPacket,
    Subscribe,
    Unsubscribe,
    Will,
)
from thingmint.mqtt.codec.properties import ConnackProperties, DisconnectProperties
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.codec.reason_tables import CONNACK, DISCONNECT_OF_SERVER
from thingmint.mqtt.codec.repeated_publish import RepeatedPublish
from thingmint.mqtt.data_plane import Opened
from thingmint.mqtt.message_texts import check_texts, check_user_properties
from thingmint.mqtt.queues.limits import check_subscribe

MAX_PACKET_BYTES: Final = 149_504
MAX_PAYLOAD_BYTES: Final = 128 * 1024
MAX_CLIENT_ID_BYTES: Final = 128
MAX_IN_FLIGHT: Final = 100
MAX_TOPIC_ALIASES: Final = 8
SHORTEST_KEEP_ALIVE: Final = 30
LONGEST_KEEP_ALIVE: Final = 1200
# CONNECT, SUBSCRIBE and UNSUBSCRIBE.
_SESSION_REQUESTS: Final = frozenset({0x10, 0x82, 0xA2})
_PINGREQ: Final = b"\xc0\x00"
_LARGEST_TWO_BYTES: Final = 0xFFFF
# Client ids that operators can name in requests: AWS's model has `^[^$].*`, in which a dot stands for no line break.
_NAMED_BY_OPERATORS: Final = re.compile("[^$\n\r\x85\u2028\u2029][^\n\r\x85\u2028\u2029]*")
_ASSIGNED_PREFIX: Final = "$GEN/"
# What MQTT 3.1.1 clients are told; AWS IoT ends other refused connections without a word.
_TOLD_IN_3_1_1: Final = frozenset({ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, ReasonCode.SERVER_UNAVAILABLE})
# Some reasons to end a connection cannot be said at its beginning, and the other way round.
_AS_CONNACK: Final = {
    ReasonCode.ADMINISTRATIVE_ACTION: ReasonCode.NOT_AUTHORIZED,
    ReasonCode.SERVER_SHUTTING_DOWN: ReasonCode.SERVER_UNAVAILABLE,
}
_AS_DISCONNECT: Final = {ReasonCode.SERVER_UNAVAILABLE: ReasonCode.SERVER_BUSY}

Request: TypeAlias = Connect | Publish | Puback | Subscribe | Unsubscribe | Pingreq | Disconnect


class DeviceProtocol:
    """One connection's protocol. CONNECT is the first request; its options apply from then on."""

    __slots__ = (
        "_accepted",
        "_aliases",
        "_reader",
        "_wants_reasons",
        "client_id",
        "connect",
        "is_5",
        "keep_alive",
        "maximum_packet_size",
        "receive_maximum",
    )

    def __init__(self, connect_bytes: int) -> None:
        """Start; ``connect_bytes`` is the limit of CONNECT, and AWS IoT's limit applies to later packets."""
        self._reader = FrameReader(connect_bytes)
        self._aliases: TopicAliases | None = None
        self._accepted = False
        self._wants_reasons = True
        self.connect: Connect | None = None
        self.is_5 = False
        """Whether the version is MQTT 5, which can report each refusal; read for each delivery."""
        self.client_id = ""
        self.keep_alive = LONGEST_KEEP_ALIVE
        self.receive_maximum = MAX_IN_FLIGHT
        self.maximum_packet_size: int | None = None

    @property
    def version(self) -> ProtocolVersion | None:
        """The version of MQTT that CONNECT chose; None before it."""
        return None if self.connect is None else self.connect.version

    @property
    def buffered(self) -> int:
        """How many received bytes are not handled yet."""
        return self._reader.buffered

    @property
    def next_changes_session(self) -> bool:
        """Whether the next request, which may be incomplete, begins or changes a session."""
        return self._reader.first_byte in _SESSION_REQUESTS

    # Bytes in, requests out

    def feed(self, received: bytes) -> None:
        """Add bytes from the client."""
        self._reader.feed(received)

    def only_acknowledgement(self, received: bytes) -> int:
        """Return the packet identifier if these bytes are one PUBACK without a reason and nothing waits; otherwise 0.

        The bytes are not added.
        """
        return self._reader.only_acknowledgement(received) if self._accepted else 0

    def is_only_ping(self, received: bytes) -> bool:
        """Return whether these bytes are PINGREQ and nothing waits; they are not added."""
        return received == _PINGREQ and self._accepted and not self._reader.buffered

    def next_acknowledgement(self) -> int:
        """Return the packet identifier of a PUBACK without a reason, if that is the next request; otherwise 0."""
        return self._reader.next_acknowledgement() if self._accepted else 0

    def next_repeated(self, repeated: RepeatedPublish) -> bytes:
        """Return the next message's bytes for the data plane if it is one of the repeated ones; otherwise nothing."""
        return repeated.read(self._reader)

    def next_request(self) -> Request | None:
        """Return the next request, or None if it is incomplete; raise PacketRefused if the connection must end."""
        frame = self._reader.next_frame()
        if frame is None:
            return None
        packet = decode_client_packet(frame, self.version)
        match packet:
            case Publish():
                return self._published(packet)
            case Connect():
                return self._connecting(packet)
            case Subscribe():
                check_subscribe(packet)
                return packet
            case Disconnect():
                return self._leaving(packet)
            case Puback() | Unsubscribe() | Pingreq():
                return packet
            case _:
                # The rest of QoS 2, which nothing began, and AUTH, which no CONNECT may ask for.
                raise PacketRefused(ReasonCode.PROTOCOL_ERROR, f"{type(packet).__name__.upper()} is not expected")

    def _connecting(self, connect: Connect) -> Connect:
        # SDKs put their names in the username, and the certificate has said who it is: neither is kept, nor logged.
        connect = self.connect = replace(connect, username=None, password=None)
        self.is_5 = connect.version is ProtocolVersion.MQTT_5
        self.client_id = _client_id(connect)
        asked = connect.keep_alive or LONGEST_KEEP_ALIVE
        self.keep_alive = min(max(asked, SHORTEST_KEEP_ALIVE), LONGEST_KEEP_ALIVE)
        properties = connect.properties
        self._wants_reasons = properties.request_problem_information is not False
        self.receive_maximum = min(properties.receive_maximum or _LARGEST_TWO_BYTES, MAX_IN_FLIGHT)
        self.maximum_packet_size = properties.maximum_packet_size
        if properties.authentication_method is not None:
            raise PacketRefused(ReasonCode.BAD_AUTHENTICATION_METHOD, "Extended authentication is not supported")
        # A broker behind the relay gets them.
        check_user_properties(properties.user_properties)
        if connect.will is not None:
            _check_message(connect.will)
        return connect

    def _published(self, message: Publish) -> Publish:
        if self._aliases is not None:
            message = self._aliases.resolve(message)
        _check_message(message)
        return message

    def _leaving(self, disconnect: Disconnect) -> Disconnect:
        assert self.connect is not None, "CONNECT comes first"
        if disconnect.properties.session_expiry_interval and not self.connect.properties.session_expiry_interval:
            # MQTT 5, 3.14.2.2.2: a session that was to end with its connection cannot be made to last.
            raise PacketRefused(ReasonCode.PROTOCOL_ERROR, "The session was to end with the connection")
        return disconnect

    # Packets in, bytes out

    def require_connack_fits(self, opened: Opened) -> None:
        """Raise PacketRefused if CONNACK is larger than the client's maximum packet size (MQTT-3.1.2-24)."""
        if self.maximum_packet_size is not None and len(self._connack(opened)) > self.maximum_packet_size:
            raise PacketRefused(ReasonCode.PACKET_TOO_LARGE, "CONNACK exceeds the client's maximum packet size")

    def accept(self, opened: Opened) -> bytes:
        """Accept CONNECT, and return the bytes of CONNACK."""
        assert self.connect is not None, "CONNECT comes first"
        connack = self._connack(opened)
        # The will is the data plane's by now, and may be large.
        self.connect = replace(self.connect, will=None)
        self._accepted = True
        self._reader.max_packet_size = MAX_PACKET_BYTES
        if self.is_5:
            self._aliases = TopicAliases(MAX_TOPIC_ALIASES)
        return connack

    def _connack(self, opened: Opened) -> bytes:
        assert self.connect is not None, "CONNECT comes first"
        connect, offer = self.connect, opened.offer
        if not self.is_5:
            return encode(Connack(opened.session_present, ReasonCode.SUCCESS), connect.version)
        properties = ConnackProperties(
            session_expiry_interval=opened.session_expiry_interval,
            receive_maximum=MAX_IN_FLIGHT,
            maximum_qos=QoS.AT_LEAST_ONCE if offer.has_qos_1 else QoS.AT_MOST_ONCE,
            retain_available=offer.has_retained,
            maximum_packet_size=min(MAX_PACKET_BYTES, offer.maximum_packet_size or MAX_PACKET_BYTES),
            assigned_client_identifier=None if connect.client_id else self.client_id,
            topic_alias_maximum=MAX_TOPIC_ALIASES,
            wildcard_subscription_available=offer.has_wildcards,
            subscription_identifiers_available=False,
            shared_subscription_available=offer.has_shared_subscriptions,
            server_keep_alive=None if connect.keep_alive == self.keep_alive else self.keep_alive,
        )
        return encode(Connack(opened.session_present, ReasonCode.SUCCESS, properties), connect.version)

    def bytes_of(self, packet: ServerPacket) -> bytes | None:
        """Return the packet's bytes; None if they exceed the client's maximum packet size."""
        assert self.connect is not None, "CONNECT comes first"
        return self._unless_too_large(encode(packet, self.connect.version))

    def _unless_too_large(self, encoded: bytes) -> bytes | None:
        # MQTT 5, 3.1.2.11.4: what is too large is dropped as if it had been sent.
        if self.maximum_packet_size is not None and len(encoded) > self.maximum_packet_size:
            return None
        return encoded

    def last_packet(self, reason: ReasonCode, message: str = "") -> bytes:
        """Return the last packet before the connection ends; empty if AWS IoT sends none."""
        if reason is ReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
            return UNSUPPORTED_VERSION_ANSWER
        if self.connect is None or (not self.is_5 and (self._accepted or reason not in _TOLD_IN_3_1_1)):
            return b""
        said = message if self.is_5 and self._wants_reasons and message else None
        encoded = self._last_bytes(reason, said)
        if encoded is None and said is not None:
            # The client must still learn the code (MQTT-3.2.2-19, MQTT-3.14.2-3).
            encoded = self._last_bytes(reason, None)
        return encoded or b""

    def _last_bytes(self, reason: ReasonCode, said: str | None) -> bytes | None:
        if self._accepted:
            code = _AS_DISCONNECT.get(reason, reason)
            code = code if code in DISCONNECT_OF_SERVER else ReasonCode.UNSPECIFIED_ERROR
            return self.bytes_of(Disconnect(code, DisconnectProperties(reason_string=said)))
        code = _AS_CONNACK.get(reason, reason)
        code = code if code in CONNACK else ReasonCode.UNSPECIFIED_ERROR
        return self.bytes_of(Connack(False, code, ConnackProperties(reason_string=said)))


def assigned_client_id() -> str:
    """Return a client id for a client that has none, in AWS IoT's form."""
    return f"{_ASSIGNED_PREFIX}{uuid.uuid4()}"


def _client_id(connect: Connect) -> str:
    client_id = connect.client_id
    if not client_id and connect.version is ProtocolVersion.MQTT_5:
        return assigned_client_id()
    if not _NAMED_BY_OPERATORS.fullmatch(client_id) or len(client_id.encode()) > MAX_CLIENT_ID_BYTES:
        raise PacketRefused(
            ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
            f"A client id has 1 to {MAX_CLIENT_ID_BYTES} bytes, no line break, and does not start with $",
        )
    return client_id


def _check_message(message: Publish | Will) -> None:
    if message.qos is QoS.EXACTLY_ONCE:
        raise PacketRefused(ReasonCode.QOS_NOT_SUPPORTED, "QoS 2 is not supported")
    if len(message.payload) > MAX_PAYLOAD_BYTES:
        raise PacketRefused(ReasonCode.PACKET_TOO_LARGE, f"A payload has at most {MAX_PAYLOAD_BYTES} bytes")
    try:
        check_topic(message.topic)
    except UnsafeTopic as error:
        # A message is refused by the data plane, which can be answered, after the policies have allowed it.
        if isinstance(message, Will):
            raise PacketRefused(ReasonCode.TOPIC_NAME_INVALID, in_words(error)) from error
    except InvalidTopic as error:
        raise PacketRefused(ReasonCode.TOPIC_NAME_INVALID, in_words(error)) from error
    check_texts(message.properties)
