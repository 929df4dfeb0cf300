"""Owns the decoding of frames into packets and the encoding of packets, for servers and clients. Keeps no state.

Decoding is strict: PacketRefused is raised for what MQTT calls malformed or a protocol error, and no other exception
for any bytes. Three checks are left to the caller, because their failure need not end the connection: whether a topic
filter is valid, whether a client id is acceptable, and that QoS 2 is not served.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias, TypeVar

from thingmint.mqtt.codec import answer_bytes, closing_bytes, connect_bytes, packets, publish_bytes, subscribe_bytes
from thingmint.mqtt.codec.framing import Frame, frame_bytes
from thingmint.mqtt.codec.packets import ClientPacket, Packet, ProtocolVersion, ServerPacket
from thingmint.mqtt.codec.reason_codes import PacketRefused
from thingmint.mqtt.codec.wire import Cursor, malformed, violation

UNSUPPORTED_VERSION_ANSWER: Final = b"\x20\x02\x00\x01"
"""The bytes to send before closing if a CONNECT was refused with UNSUPPORTED_PROTOCOL_VERSION, in 3.1.1's form."""

_Packet = TypeVar("_Packet", bound=Packet)
_Decoders: TypeAlias = Mapping[int, Callable[[Cursor], _Packet]]
_Answer: TypeAlias = packets.Puback | packets.Pubrec | packets.Pubrel | packets.Pubcomp
_Encode: TypeAlias = Callable[..., bytes]

# First bytes: the type in the upper four bits, then flags, which are fixed except for PUBLISH (MQTT 5, 2.1.3).
_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _PUBREC, _PUBREL, _PUBCOMP = 0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70
_SUBSCRIBE, _SUBACK, _UNSUBSCRIBE, _UNSUBACK, _PINGREQ, _PINGRESP = 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0
_DISCONNECT, _AUTH = 0xE0, 0xF0
_TYPE_BITS: Final = 0xF0


def _nothing_in(packet: _Packet) -> Callable[[Cursor], _Packet]:
    def decode(cursor: Cursor) -> _Packet:
        cursor.end()
        return packet

    return decode


_ANSWERS_3_1_1: Final[_Decoders[_Answer]] = {
    _PUBACK: answer_bytes.PUBACK.decode_3_1_1,
    _PUBREC: answer_bytes.PUBREC.decode_3_1_1,
    _PUBREL: answer_bytes.PUBREL.decode_3_1_1,
    _PUBCOMP: answer_bytes.PUBCOMP.decode_3_1_1,
}
_ANSWERS_5: Final[_Decoders[_Answer]] = {
    _PUBACK: answer_bytes.PUBACK.decode_5,
    _PUBREC: answer_bytes.PUBREC.decode_5,
    _PUBREL: answer_bytes.PUBREL.decode_5,
    _PUBCOMP: answer_bytes.PUBCOMP.decode_5,
}
_OF_CLIENT: Final[Mapping[ProtocolVersion, _Decoders[ClientPacket]]] = {
    ProtocolVersion.MQTT_3_1_1: {
        **_ANSWERS_3_1_1,
        _SUBSCRIBE: subscribe_bytes.decode_subscribe_3_1_1,
        _UNSUBSCRIBE: subscribe_bytes.decode_unsubscribe_3_1_1,
        _PINGREQ: _nothing_in(packets.Pingreq()),
        _DISCONNECT: closing_bytes.decode_disconnect_3_1_1,
    },
    ProtocolVersion.MQTT_5: {
        **_ANSWERS_5,
        _SUBSCRIBE: subscribe_bytes.decode_subscribe_5,
        _UNSUBSCRIBE: subscribe_bytes.decode_unsubscribe_5,
        _PINGREQ: _nothing_in(packets.Pingreq()),
        _DISCONNECT: closing_bytes.decode_disconnect_of_client,
        _AUTH: closing_bytes.decode_auth_of_client,
    },
}
_OF_SERVER: Final[Mapping[ProtocolVersion, _Decoders[ServerPacket]]] = {
    ProtocolVersion.MQTT_3_1_1: {
        **_ANSWERS_3_1_1,
        _CONNACK: connect_bytes.decode_connack_3_1_1,
        _SUBACK: answer_bytes.decode_suback_3_1_1,
        _UNSUBACK: answer_bytes.decode_unsuback_3_1_1,
        _PINGRESP: _nothing_in(packets.Pingresp()),
    },
    ProtocolVersion.MQTT_5: {
        **_ANSWERS_5,
        _CONNACK: connect_bytes.decode_connack_5,
        _SUBACK: answer_bytes.decode_suback_5,
        _UNSUBACK: answer_bytes.decode_unsuback_5,
        _PINGRESP: _nothing_in(packets.Pingresp()),
        _DISCONNECT: closing_bytes.decode_disconnect_of_server,
        _AUTH: closing_bytes.decode_auth_of_server,
    },
}


def _nothing_of(packet: Packet, *, is_5: bool) -> bytes:
    return b""


# Without PUBLISH, whose first byte depends on the packet.
_ENCODERS: Final[Mapping[type[Packet], tuple[int, _Encode]]] = {
    packets.Connack: (_CONNACK, connect_bytes.encode_connack),
    packets.Puback: (_PUBACK, answer_bytes.PUBACK.encode),
    packets.Pubrec: (_PUBREC, answer_bytes.PUBREC.encode),
    packets.Pubrel: (_PUBREL, answer_bytes.PUBREL.encode),
    packets.Pubcomp: (_PUBCOMP, answer_bytes.PUBCOMP.encode),
    packets.Subscribe: (_SUBSCRIBE, subscribe_bytes.encode_subscribe),
    packets.Suback: (_SUBACK, answer_bytes.encode_suback),
    packets.Unsubscribe: (_UNSUBSCRIBE, subscribe_bytes.encode_unsubscribe),
    packets.Unsuback: (_UNSUBACK, answer_bytes.encode_unsuback),
    packets.Pingreq: (_PINGREQ, _nothing_of),
    packets.Pingresp: (_PINGRESP, _nothing_of),
    packets.Disconnect: (_DISCONNECT, closing_bytes.encode_disconnect),
    packets.Auth: (_AUTH, closing_bytes.encode_auth),
}


def decode_client_packet(frame: Frame, version: ProtocolVersion | None) -> ClientPacket:
    """Return the packet that a client sent; raise PacketRefused if it violates the protocol.

    ``version`` is that of the connection's CONNECT. Before CONNECT it is None, and only CONNECT is accepted; afterwards
    CONNECT is refused.
    """
    if version is None:
        return _decode_first(frame)
    if frame.first_byte & _TYPE_BITS != _PUBLISH:
        return _decode(frame, _OF_CLIENT[version], version)
    if version is ProtocolVersion.MQTT_3_1_1:
        return publish_bytes.decode_publish_3_1_1(frame.first_byte, frame.body)
    _refuse_padding(frame)
    return publish_bytes.decode_publish_of_client(frame.first_byte, frame.body)


def decode_server_packet(frame: Frame, version: ProtocolVersion) -> ServerPacket:
    """Return the packet that a server sent; raise PacketRefused if it violates the protocol."""
    if frame.first_byte & _TYPE_BITS != _PUBLISH:
        return _decode(frame, _OF_SERVER[version], version)
    if version is ProtocolVersion.MQTT_3_1_1:
        return publish_bytes.decode_publish_3_1_1(frame.first_byte, frame.body)
    _refuse_padding(frame)
    return publish_bytes.decode_publish_of_server(frame.first_byte, frame.body)


def encode(packet: Packet, version: ProtocolVersion) -> bytes:
    """Return the packet's bytes; raise ValueError if this version of MQTT cannot encode it.

    Properties and reason codes of acknowledgements, which MQTT 3.1.1 does not have, are omitted there. A CONNECT is
    encoded in its own version.
    """
    is_5 = version is ProtocolVersion.MQTT_5
    if isinstance(packet, packets.Publish):
        return publish_bytes.encode_publish(packet, is_5=is_5)
    if isinstance(packet, packets.Connect):
        return frame_bytes(_CONNECT, connect_bytes.encode_connect(packet))
    first_byte, encode_body = _ENCODERS[type(packet)]
    return frame_bytes(first_byte, encode_body(packet, is_5=is_5))


def _decode_first(frame: Frame) -> packets.Connect:
    if frame.first_byte & _TYPE_BITS != _CONNECT:
        raise violation("The first packet is not CONNECT")
    if frame.first_byte != _CONNECT:
        raise malformed("A reserved flag is set")
    packet = connect_bytes.decode_connect(Cursor(frame.body))
    if packet.version is ProtocolVersion.MQTT_5:
        _refuse_padding(frame)
    return packet


def _decode(frame: Frame, decoders: _Decoders[_Packet], version: ProtocolVersion) -> _Packet:
    decode = decoders.get(frame.first_byte)
    if decode is None:
        raise _refusal_of(frame.first_byte, decoders)
    if version is ProtocolVersion.MQTT_5:
        _refuse_padding(frame)
    return decode(Cursor(frame.body))


def _refusal_of(first_byte: int, decoders: _Decoders[Packet]) -> PacketRefused:
    type_bits = first_byte & _TYPE_BITS
    if any(known & _TYPE_BITS == type_bits for known in decoders):
        return malformed("A reserved flag is set")
    if type_bits:
        return violation("This type of packet is not allowed here")
    return malformed("The type of the packet is reserved")


def _refuse_padding(frame: Frame) -> None:
    if frame.padded:
        raise malformed("The remaining length is padded")
