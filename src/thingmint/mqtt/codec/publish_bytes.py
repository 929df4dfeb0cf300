"""Owns the encoding of PUBLISH, the most frequent packet: fast, and as strict as for other packets."""

from typing import Final

from thingmint.mqtt.codec import property_bytes, wire
from thingmint.mqtt.codec.framing import frame_bytes
from thingmint.mqtt.codec.packets import Publish, QoS
from thingmint.mqtt.codec.properties import NO_PUBLISH_PROPERTIES, PublishProperties
from thingmint.mqtt.codec.property_bytes import PropertyBytes
from thingmint.mqtt.codec.wire import Cursor, decode_topic_name, malformed, violation

_TYPE: Final = 0x30
_DUP: Final = 0x08
# QoS, RETAIN and DUP for each value of the flags, without QoS 3 and without DUP at QoS 0 (MQTT-3.3.1-2).
_FLAGS: Final = {
    _DUP * dup | qos << 1 | retain: (qos, bool(retain), bool(dup))
    for qos in QoS
    for retain in (0, 1)
    for dup in (0, 1)
    if qos or not dup
}


def decode_publish_3_1_1(first_byte: int, body: bytes) -> Publish:
    """Return the message; raise PacketRefused if it violates the protocol."""
    qos, retain, dup = _read_flags(first_byte)
    topic, offset, packet_id = _read_head(body, qos)
    if not topic:
        raise malformed("A message has no topic")
    return Publish(topic, body[offset:], qos, retain, dup, packet_id)


def decode_publish_of_client(first_byte: int, body: bytes) -> Publish:
    """Return an MQTT 5 client's message; raise PacketRefused if it violates the protocol."""
    return _decode_publish_5(first_byte, body, property_bytes.PUBLISH_OF_CLIENT)


def decode_publish_of_server(first_byte: int, body: bytes) -> Publish:
    """Return an MQTT 5 server's message; raise PacketRefused if it violates the protocol."""
    return _decode_publish_5(first_byte, body, property_bytes.PUBLISH_OF_SERVER)


def _decode_publish_5(first_byte: int, body: bytes, reader: PropertyBytes[PublishProperties]) -> Publish:
    qos, retain, dup = _read_flags(first_byte)
    topic, offset, packet_id = _read_head(body, qos)
    if offset < len(body) and not body[offset]:
        properties, offset = NO_PUBLISH_PROPERTIES, offset + 1
    else:
        cursor = Cursor(body, offset)
        properties, offset = reader.read(cursor), cursor.offset
    if not topic and properties.topic_alias is None:
        raise violation("A message has neither a topic nor an alias of one")
    return Publish(topic, body[offset:], qos, retain, dup, packet_id, properties)


def _read_flags(first_byte: int) -> tuple[QoS, bool, bool]:
    flags = _FLAGS.get(first_byte & 0x0F)
    if flags is None:
        raise malformed("The flags of a message contradict each other")
    return flags


def _read_head(body: bytes, qos: QoS) -> tuple[str, int, int]:
    # The topic, the offset after it, and the packet identifier. Without a cursor, because this runs for every message.
    size = len(body)
    end = 2 + (body[0] << 8 | body[1]) if size > 1 else 2
    after = end + 2 if qos else end
    if size < after:
        raise malformed("The packet is cut short")
    topic = decode_topic_name(body[2:end])
    if not qos:
        return topic, end, 0
    packet_id = body[end] << 8 | body[end + 1]
    if not packet_id:
        raise violation("A packet identifier is 0")
    return topic, after, packet_id


def encode_publish(packet: Publish, *, is_5: bool) -> bytes:
    """Return the message's packet; raise ValueError if the version of MQTT cannot encode it."""
    if not packet.topic and not (is_5 and packet.properties.topic_alias):
        raise ValueError("a message has a topic, or in MQTT 5 an alias of one")
    if packet.dup and not packet.qos:
        raise ValueError("at QoS 0 nothing is sent twice")
    flags = _DUP * packet.dup | packet.qos << 1 | packet.retain
    parts = [
        wire.topic_name(packet.topic),
        _packet_id(packet),
        property_bytes.PUBLISH_OF_SERVER.write(packet.properties) if is_5 else b"",
        packet.payload,
    ]
    return frame_bytes(_TYPE | flags, b"".join(parts))


def _packet_id(packet: Publish) -> bytes:
    if packet.qos:
        return wire.packet_id(packet.packet_id)
    if packet.packet_id:
        raise ValueError("at QoS 0 there is no packet identifier")
    return b""
