"""Owns the encoding of MQTT 5's properties: their identifiers and types, and which ones each packet may have."""

from collections.abc import Callable
from inspect import get_annotations
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

from thingmint.mqtt.codec import properties as p
from thingmint.mqtt.codec import wire
from thingmint.mqtt.codec.wire import Cursor, malformed, violation

_Properties = TypeVar("_Properties")


class _PropertyRule(Struct, frozen=True):
    """The name of one property, and how it is read and written; ``Any``, because each field has its own type."""

    identifier: int
    field: str
    read: Callable[[Cursor], Any]
    write: Callable[[Any], bytes]
    repeats: bool = False


def _read_flag(cursor: Cursor) -> bool:
    value = cursor.byte()
    if value > 1:
        raise violation("A property that is 0 or 1 has another value")
    return bool(value)


def _read_maximum_qos(cursor: Cursor) -> int:
    return int(_read_flag(cursor))


def _write_maximum_qos(value: int) -> bytes:
    if value not in (0, 1):
        raise ValueError("Maximum QoS is 0 or 1")
    return wire.byte(value)


def _read_pair(cursor: Cursor) -> tuple[str, str]:
    return cursor.text(), cursor.text()


def _write_pair(value: tuple[str, str]) -> bytes:
    return wire.text(value[0]) + wire.text(value[1])


def _read_topic(cursor: Cursor) -> str:
    return wire.decode_topic_name(cursor.binary())


def _read_positive(read: Callable[[Cursor], int]) -> Callable[[Cursor], int]:
    def read_positive(cursor: Cursor) -> int:
        value = read(cursor)
        if not value:
            raise violation("A property that is never 0 is 0")
        return value

    return read_positive


def _write_positive(write: Callable[[int], bytes]) -> Callable[[int], bytes]:
    def write_positive(value: int) -> bytes:
        if not value:
            raise ValueError("this property is never 0")
        return write(value)

    return write_positive


_POSITIVE_2: Final = (_read_positive(Cursor.two_bytes), _write_positive(wire.two_bytes))
_POSITIVE_4: Final = (_read_positive(Cursor.four_bytes), _write_positive(wire.four_bytes))
_POSITIVE_VARIABLE: Final = (_read_positive(Cursor.variable), _write_positive(wire.variable))

# MQTT 5, table 2-4. Identifiers are variable byte integers, all of one octet.
_RULES: Final = (
    _PropertyRule(0x01, "payload_format_indicator", _read_flag, wire.byte),
    _PropertyRule(0x02, "message_expiry_interval", Cursor.four_bytes, wire.four_bytes),
    _PropertyRule(0x03, "content_type", Cursor.text, wire.text),
    _PropertyRule(0x08, "response_topic", _read_topic, wire.topic_name),
    _PropertyRule(0x09, "correlation_data", Cursor.binary, wire.binary),
    _PropertyRule(0x0B, "subscription_identifier", *_POSITIVE_VARIABLE),
    _PropertyRule(0x0B, "subscription_identifiers", *_POSITIVE_VARIABLE, repeats=True),
    _PropertyRule(0x11, "session_expiry_interval", Cursor.four_bytes, wire.four_bytes),
    _PropertyRule(0x12, "assigned_client_identifier", Cursor.text, wire.text),
    _PropertyRule(0x13, "server_keep_alive", Cursor.two_bytes, wire.two_bytes),
    _PropertyRule(0x15, "authentication_method", Cursor.text, wire.text),
    _PropertyRule(0x16, "authentication_data", Cursor.binary, wire.binary),
    _PropertyRule(0x17, "request_problem_information", _read_flag, wire.byte),
    _PropertyRule(0x18, "will_delay_interval", Cursor.four_bytes, wire.four_bytes),
    _PropertyRule(0x19, "request_response_information", _read_flag, wire.byte),
    _PropertyRule(0x1A, "response_information", Cursor.text, wire.text),
    _PropertyRule(0x1C, "server_reference", Cursor.text, wire.text),
    _PropertyRule(0x1F, "reason_string", Cursor.text, wire.text),
    _PropertyRule(0x21, "receive_maximum", *_POSITIVE_2),
    _PropertyRule(0x22, "topic_alias_maximum", Cursor.two_bytes, wire.two_bytes),
    _PropertyRule(0x23, "topic_alias", *_POSITIVE_2),
    _PropertyRule(0x24, "maximum_qos", _read_maximum_qos, _write_maximum_qos),
    _PropertyRule(0x25, "retain_available", _read_flag, wire.byte),
    _PropertyRule(0x26, "user_properties", _read_pair, _write_pair, repeats=True),
    _PropertyRule(0x27, "maximum_packet_size", *_POSITIVE_4),
    _PropertyRule(0x28, "wildcard_subscription_available", _read_flag, wire.byte),
    _PropertyRule(0x29, "subscription_identifiers_available", _read_flag, wire.byte),
    _PropertyRule(0x2A, "shared_subscription_available", _read_flag, wire.byte),
)


class PropertyBytes(Generic[_Properties]):
    """Reads and writes the properties of one kind of packet; the peer may not send those in ``never_read``."""

    __slots__ = ("_by_identifier", "_kind", "_to_write", "none")

    def __init__(self, kind: Callable[..., _Properties], none: _Properties, never_read: frozenset[str]) -> None:
        names = get_annotations(kind).keys()  # A property for each field, and nothing else.
        self._kind = kind
        self.none = none
        self._to_write = [rule for rule in _RULES if rule.field in names]
        self._by_identifier = {rule.identifier: rule for rule in self._to_write if rule.field not in never_read}

    def read(self, cursor: Cursor) -> _Properties:
        """Return the properties, which follow their length; raise PacketRefused if one is invalid or not allowed."""
        length = cursor.variable()
        if not length:
            return self.none
        if cursor.offset + length > len(cursor.body):
            raise malformed("The properties are longer than the packet")
        # A separate cursor: a property that extends beyond the properties' length is malformed (MQTT 5, 4.13).
        block = Cursor(cursor.take(length))
        values: dict[str, object] = {}
        # Lists, because tuples would be copied for each of the thousands of user properties that fit into a packet.
        repeated: dict[str, list[object]] = {}
        while not block.at_end():
            rule = self._by_identifier.get(block.byte())
            if rule is None:
                raise malformed("A property is unknown or not allowed in this packet")
            value = rule.read(block)
            if rule.repeats:
                repeated.setdefault(rule.field, []).append(value)
            elif rule.field in values:
                raise violation("A property is given twice")
            else:
                values[rule.field] = value
        for name, listed in repeated.items():
            values[name] = tuple(listed)
        return self._kind(**values)

    def write(self, properties: _Properties) -> bytes:
        """Return the properties after their length; raise ValueError if a value cannot be encoded."""
        if properties == self.none:
            return b"\0"
        written = bytearray()
        for rule in self._to_write:
            value = getattr(properties, rule.field)
            for item in value if rule.repeats else () if value is None else (value,):
                written.append(rule.identifier)
                written += rule.write(item)
        return wire.variable(len(written)) + bytes(written)


_NOTHING: Final[frozenset[str]] = frozenset()

CONNECT: Final = PropertyBytes(p.ConnectProperties, p.NO_CONNECT_PROPERTIES, _NOTHING)
WILL: Final = PropertyBytes(p.WillProperties, p.NO_WILL_PROPERTIES, _NOTHING)
CONNACK: Final = PropertyBytes(p.ConnackProperties, p.NO_CONNACK_PROPERTIES, _NOTHING)
# MQTT-3.3.4-6: a client never sends a subscription identifier with a message.
PUBLISH_OF_CLIENT: Final = PropertyBytes(
    p.PublishProperties, p.NO_PUBLISH_PROPERTIES, frozenset({"subscription_identifiers"})
)
PUBLISH_OF_SERVER: Final = PropertyBytes(p.PublishProperties, p.NO_PUBLISH_PROPERTIES, _NOTHING)
ACKNOWLEDGEMENT: Final = PropertyBytes(p.AcknowledgementProperties, p.NO_ACKNOWLEDGEMENT_PROPERTIES, _NOTHING)
SUBSCRIBE: Final = PropertyBytes(p.SubscribeProperties, p.NO_SUBSCRIBE_PROPERTIES, _NOTHING)
UNSUBSCRIBE: Final = PropertyBytes(p.UnsubscribeProperties, p.NO_UNSUBSCRIBE_PROPERTIES, _NOTHING)
DISCONNECT_OF_CLIENT: Final = PropertyBytes(
    p.DisconnectProperties, p.NO_DISCONNECT_PROPERTIES, frozenset({"server_reference"})
)
DISCONNECT_OF_SERVER: Final = PropertyBytes(
    p.DisconnectProperties, p.NO_DISCONNECT_PROPERTIES, frozenset({"session_expiry_interval"})
)
AUTH: Final = PropertyBytes(p.AuthProperties, p.NO_AUTH_PROPERTIES, _NOTHING)
