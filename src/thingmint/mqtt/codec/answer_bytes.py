"""Owns the encoding of acknowledgements: PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK and UNSUBACK."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from thingmint.mqtt.codec import reason_tables, wire
from thingmint.mqtt.codec.packets import Puback, Pubcomp, Pubrec, Pubrel, Suback, Unsuback
from thingmint.mqtt.codec.properties import AcknowledgementProperties
from thingmint.mqtt.codec.property_bytes import ACKNOWLEDGEMENT
from thingmint.mqtt.codec.reason_bytes import code_bytes, read_codes, read_reason, reason_bytes
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.reason_tables import Codes
from thingmint.mqtt.codec.wire import Cursor

_Answer = TypeVar("_Answer", bound=Puback | Pubrec | Pubrel | Pubcomp)


class PublishAnswer(Generic[_Answer]):
    """PUBACK, PUBREC, PUBREL and PUBCOMP, which have the same form (MQTT 5, 3.4 to 3.7)."""

    __slots__ = ("_codes", "_kind")

    def __init__(self, kind: Callable[[int, ReasonCode, AcknowledgementProperties], _Answer], codes: Codes) -> None:
        self._kind = kind
        self._codes = codes

    def decode_3_1_1(self, cursor: Cursor) -> _Answer:
        """Return the packet; raise PacketRefused if it violates the protocol."""
        packet_id = cursor.packet_id()
        cursor.end()
        return self._kind(packet_id, ReasonCode.SUCCESS, ACKNOWLEDGEMENT.none)

    def decode_5(self, cursor: Cursor) -> _Answer:
        """Return the packet; raise PacketRefused if it violates the protocol."""
        return self._kind(cursor.packet_id(), *read_reason(cursor, self._codes, ACKNOWLEDGEMENT))

    def encode(self, packet: _Answer, *, is_5: bool) -> bytes:
        """Return the packet's body; raise ValueError if a value cannot be encoded."""
        body = wire.packet_id(packet.packet_id)
        if is_5:
            body += reason_bytes(packet.reason_code, self._codes, packet.properties, ACKNOWLEDGEMENT)
        return body


PUBACK: Final = PublishAnswer(Puback, reason_tables.PUBACK)
PUBREC: Final = PublishAnswer(Pubrec, reason_tables.PUBREC)
PUBREL: Final = PublishAnswer(Pubrel, reason_tables.PUBREL)
PUBCOMP: Final = PublishAnswer(Pubcomp, reason_tables.PUBCOMP)


def decode_suback_3_1_1(cursor: Cursor) -> Suback:
    """Return the packet; raise PacketRefused if it violates the protocol."""
    return Suback(cursor.packet_id(), read_codes(cursor, reason_tables.SUBACK_3_1_1))


def decode_suback_5(cursor: Cursor) -> Suback:
    """Return the packet; raise PacketRefused if it violates the protocol."""
    packet_id, properties = cursor.packet_id(), ACKNOWLEDGEMENT.read(cursor)
    return Suback(packet_id, read_codes(cursor, reason_tables.SUBACK), properties)


def encode_suback(packet: Suback, *, is_5: bool) -> bytes:
    """Return the packet's body; raise ValueError if a value cannot be encoded."""
    packet_id, codes = wire.packet_id(packet.packet_id), code_bytes(packet.reason_codes, reason_tables.SUBACK)
    if is_5:
        return packet_id + ACKNOWLEDGEMENT.write(packet.properties) + codes
    # MQTT 3.1.1, 3.9.3: the only failure code is 0x80.
    return packet_id + bytes(min(code, ReasonCode.UNSPECIFIED_ERROR) for code in codes)


def decode_unsuback_3_1_1(cursor: Cursor) -> Unsuback:
    """Return the packet; raise PacketRefused if it violates the protocol."""
    packet_id = cursor.packet_id()
    cursor.end()
    return Unsuback(packet_id)


def decode_unsuback_5(cursor: Cursor) -> Unsuback:
    """Return the packet; raise PacketRefused if it violates the protocol."""
    packet_id, properties = cursor.packet_id(), ACKNOWLEDGEMENT.read(cursor)
    return Unsuback(packet_id, read_codes(cursor, reason_tables.UNSUBACK), properties)


def encode_unsuback(packet: Unsuback, *, is_5: bool) -> bytes:
    """Return the packet's body; raise ValueError if a value cannot be encoded."""
    packet_id = wire.packet_id(packet.packet_id)
    if not is_5:
        return packet_id
    codes = code_bytes(packet.reason_codes, reason_tables.UNSUBACK)
    return packet_id + ACKNOWLEDGEMENT.write(packet.properties) + codes
