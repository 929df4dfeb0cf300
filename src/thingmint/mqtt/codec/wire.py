"""Owns the encoding of elementary values in packets: numbers, text and binary data. Independent of packets."""

from typing import Final

from thingmint.core.topics.names import has_wildcard
from thingmint.mqtt.codec.framing import variable_byte_integer
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode

_MAX_LENGTH: Final = 0xFFFF
_CONTINUES: Final = 0x80
_VARIABLE_OCTETS: Final = 4
_CUT_SHORT: Final = "The packet is cut short"


def malformed(message: str) -> PacketRefused:
    """Return the refusal of bytes that cannot be parsed by the specification."""
    return PacketRefused(ReasonCode.MALFORMED_PACKET, message)


def violation(message: str) -> PacketRefused:
    """Return the refusal of a packet that can be parsed and is not allowed."""
    return PacketRefused(ReasonCode.PROTOCOL_ERROR, message)


class Cursor:
    """Reads a packet's body from start to end; raises PacketRefused for every error."""

    __slots__ = ("body", "offset")

    def __init__(self, body: bytes, offset: int = 0) -> None:
        self.body = body
        self.offset = offset

    def at_end(self) -> bool:
        """Return whether nothing is left."""
        return self.offset == len(self.body)

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        start = self.offset
        end = start + count
        if end > len(self.body):
            raise malformed(_CUT_SHORT)
        self.offset = end
        return self.body[start:end]

    def end(self) -> None:
        """Raise PacketRefused unless all bytes are read."""
        if self.offset != len(self.body):
            raise malformed("The packet goes on after its end")

    def byte(self) -> int:
        """Return a number of one byte."""
        offset = self.offset
        if offset >= len(self.body):
            raise malformed(_CUT_SHORT)
        self.offset = offset + 1
        return self.body[offset]

    def two_bytes(self) -> int:
        """Return a number of two bytes."""
        offset, body = self.offset, self.body
        if offset + 2 > len(body):
            raise malformed(_CUT_SHORT)
        self.offset = offset + 2
        return body[offset] << 8 | body[offset + 1]

    def four_bytes(self) -> int:
        """Return a number of four bytes."""
        return int.from_bytes(self.take(4), "big")

    def variable(self) -> int:
        """Return a variable byte integer in its shortest form (MQTT-1.5.5-1)."""
        value = self.byte()
        if value < _CONTINUES:
            return value
        value &= ~_CONTINUES
        for octet in range(1, _VARIABLE_OCTETS):
            byte = self.byte()
            value |= (byte & ~_CONTINUES) << 7 * octet
            if byte < _CONTINUES:
                if not byte:
                    raise malformed("A variable byte integer is padded")
                return value
        raise malformed("A variable byte integer has more than four octets")

    def binary(self) -> bytes:
        """Return binary data, which follows its length."""
        offset, body = self.offset, self.body
        size = len(body)
        end = offset + 2 + (body[offset] << 8 | body[offset + 1]) if offset + 2 <= size else size + 1
        if end > size:
            raise malformed(_CUT_SHORT)
        self.offset = end
        return body[offset + 2 : end]

    def text(self) -> str:
        """Return text, which follows its length: well-formed UTF-8 without NUL (MQTT-1.5.4-1, MQTT-1.5.4-2)."""
        return decode_text(self.binary())

    def packet_id(self) -> int:
        """Return a packet identifier, which is not 0."""
        packet_id = self.two_bytes()
        if not packet_id:
            raise violation("A packet identifier is 0")
        return packet_id


def decode_text(octets: bytes) -> str:
    """Return the text; raise PacketRefused unless it is well-formed UTF-8 without NUL."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        raise malformed("Text is not well-formed UTF-8") from error
    if "\0" in text:
        raise malformed("Text holds a NUL")
    return text


def decode_topic_name(octets: bytes) -> str:
    """Return a topic name, which may be empty; raise PacketRefused if it is not text or contains a wildcard."""
    topic = decode_text(octets)
    if has_wildcard(topic):
        raise malformed("A topic name holds a wildcard")
    return topic


def byte(value: int) -> bytes:
    """Return a number of one byte; raise ValueError if it is not in range."""
    return _number(value, 1)


def two_bytes(value: int) -> bytes:
    """Return a number of two bytes; raise ValueError if it is not in range."""
    return _number(value, 2)


def four_bytes(value: int) -> bytes:
    """Return a number of four bytes; raise ValueError if it is not in range."""
    return _number(value, 4)


def variable(value: int) -> bytes:
    """Return a variable byte integer; raise ValueError if it is not in range."""
    return variable_byte_integer(value)


def binary(value: bytes) -> bytes:
    """Return binary data after its length; raise ValueError if it is too long."""
    if len(value) > _MAX_LENGTH:
        raise ValueError("MQTT's strings are at most 65535 bytes long")
    return len(value).to_bytes(2, "big") + value


def text(value: str) -> bytes:
    """Return text after its length; raise ValueError if it is too long, contains NUL or is not Unicode text."""
    if "\0" in value:
        raise ValueError("MQTT's text holds no NUL")
    return binary(value.encode("utf-8"))


def topic_name(value: str) -> bytes:
    """Return a topic name; raise ValueError if it is not text or contains a wildcard."""
    if has_wildcard(value):
        raise ValueError("a topic name holds no wildcard")
    return text(value)


def packet_id(value: int) -> bytes:
    """Return a packet identifier; raise ValueError if it is not in range."""
    if not value:
        raise ValueError("a packet identifier is not 0")
    return two_bytes(value)


def _number(value: int, octets: int) -> bytes:
    if not 0 <= value < 1 << 8 * octets:
        raise ValueError(f"not a number of {octets} bytes")
    return value.to_bytes(octets, "big")
