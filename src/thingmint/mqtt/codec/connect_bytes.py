"""Owns the encoding of CONNECT, the only packet that names its version of MQTT, and of CONNACK."""

from typing import Final

from thingmint.mqtt.codec import property_bytes, reason_tables, wire
from thingmint.mqtt.codec.packets import Connack, Connect, ProtocolVersion, QoS, Will
from thingmint.mqtt.codec.properties import (
    NO_CONNACK_PROPERTIES,
    NO_CONNECT_PROPERTIES,
    NO_WILL_PROPERTIES,
    ConnackProperties,
)
from thingmint.mqtt.codec.reason_bytes import code_bytes, read_code
from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode
from thingmint.mqtt.codec.wire import Cursor, malformed, violation

_PROTOCOL_NAME: Final = "MQTT"
# MQTT 3.1 has another protocol name, and level 3. Its clients understand 3.1.1's refusal.
_OLD_PROTOCOL_NAME: Final = "MQIsdp"
_VERSIONS: Final = {version.value: version for version in ProtocolVersion}
_QOS: Final = {qos.value: qos for qos in QoS}

_RESERVED, _CLEAN_START, _WILL, _WILL_RETAIN, _PASSWORD, _USERNAME = 0x01, 0x02, 0x04, 0x20, 0x40, 0x80
_WILL_QOS_SHIFT: Final = 3
_WILL_DETAILS: Final = 0x38


def decode_connect(cursor: Cursor) -> Connect:
    """Return the packet; raise PacketRefused, with UNSUPPORTED_PROTOCOL_VERSION for other versions of MQTT."""
    version = _read_version(cursor)
    flags = cursor.byte()
    _check_flags(flags, version)
    keep_alive = cursor.two_bytes()
    properties = property_bytes.CONNECT.read(cursor) if version is ProtocolVersion.MQTT_5 else NO_CONNECT_PROPERTIES
    if properties.authentication_data is not None and properties.authentication_method is None:
        raise violation("Authentication data comes without a method")
    client_id = cursor.text()
    will = _read_will(cursor, flags, version) if flags & _WILL else None
    username = cursor.text() if flags & _USERNAME else None
    password = cursor.binary() if flags & _PASSWORD else None
    cursor.end()
    return Connect(version, client_id, bool(flags & _CLEAN_START), keep_alive, will, username, password, properties)


def encode_connect(packet: Connect) -> bytes:
    """Return the packet's body; raise ValueError if its version of MQTT cannot encode it."""
    is_5 = packet.version is ProtocolVersion.MQTT_5
    if not is_5 and packet.password is not None and packet.username is None:
        raise ValueError("MQTT 3.1.1 has no password without a username")
    parts = [
        wire.text(_PROTOCOL_NAME),
        bytes((packet.version, _flags(packet))),
        wire.two_bytes(packet.keep_alive),
        property_bytes.CONNECT.write(packet.properties) if is_5 else b"",
        wire.text(packet.client_id),
        b"" if packet.will is None else _will_bytes(packet.will, is_5=is_5),
        b"" if packet.username is None else wire.text(packet.username),
        b"" if packet.password is None else wire.binary(packet.password),
    ]
    return b"".join(parts)


def _read_version(cursor: Cursor) -> ProtocolVersion:
    name = cursor.text()
    if name not in (_PROTOCOL_NAME, _OLD_PROTOCOL_NAME):
        raise malformed("The protocol is not MQTT")
    version = _VERSIONS.get(cursor.byte())
    if version is None or name != _PROTOCOL_NAME:
        raise PacketRefused(ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, "The version of MQTT is neither 3.1.1 nor 5")
    return version


def _check_flags(flags: int, version: ProtocolVersion) -> None:
    if flags & _RESERVED:
        raise malformed("A reserved flag of CONNECT is set")
    if flags & _WILL_DETAILS and not flags & _WILL:
        raise malformed("CONNECT describes a will and has none")
    if flags & _PASSWORD and not flags & _USERNAME and version is ProtocolVersion.MQTT_3_1_1:
        raise malformed("CONNECT has a password without a username")


def _read_will(cursor: Cursor, flags: int, version: ProtocolVersion) -> Will:
    qos = _QOS.get(flags >> _WILL_QOS_SHIFT & 0x03)
    if qos is None:
        raise malformed("A will has QoS 3")
    properties = property_bytes.WILL.read(cursor) if version is ProtocolVersion.MQTT_5 else NO_WILL_PROPERTIES
    topic = wire.decode_topic_name(cursor.binary())
    if not topic:
        raise malformed("A will has no topic")
    return Will(topic, cursor.binary(), qos, bool(flags & _WILL_RETAIN), properties)


def _will_bytes(will: Will, *, is_5: bool) -> bytes:
    if not will.topic:
        raise ValueError("a will has a topic")
    properties = property_bytes.WILL.write(will.properties) if is_5 else b""
    return properties + wire.topic_name(will.topic) + wire.binary(will.payload)


def _flags(packet: Connect) -> int:
    flags = _CLEAN_START * packet.clean_start
    flags |= _USERNAME * (packet.username is not None) | _PASSWORD * (packet.password is not None)
    if packet.will is not None:
        flags |= _WILL | packet.will.qos << _WILL_QOS_SHIFT | _WILL_RETAIN * packet.will.retain
    return flags


def decode_connack_3_1_1(cursor: Cursor) -> Connack:
    """Return the packet; raise PacketRefused if it violates the protocol."""
    session_present, reason_code = _read_session_present(cursor), read_code(cursor, reason_tables.OF_RETURN_CODE)
    return _connack(cursor, session_present, reason_code, NO_CONNACK_PROPERTIES)


def decode_connack_5(cursor: Cursor) -> Connack:
    """Return the packet; raise PacketRefused if it violates the protocol."""
    session_present, reason_code = _read_session_present(cursor), read_code(cursor, reason_tables.CONNACK)
    return _connack(cursor, session_present, reason_code, property_bytes.CONNACK.read(cursor))


def encode_connack(packet: Connack, *, is_5: bool) -> bytes:
    """Return the packet's body; raise ValueError if the version of MQTT cannot encode it."""
    if packet.session_present and packet.reason_code:
        raise ValueError("a refused connection has no session")
    if is_5:
        code = code_bytes((packet.reason_code,), reason_tables.CONNACK)
        return bytes((packet.session_present,)) + code + property_bytes.CONNACK.write(packet.properties)
    if packet.reason_code not in reason_tables.RETURN_CODES:
        raise ValueError("MQTT 3.1.1 has no return code for this refusal")
    return bytes((packet.session_present, reason_tables.RETURN_CODES[packet.reason_code]))


def _read_session_present(cursor: Cursor) -> bool:
    flags = cursor.byte()
    if flags > 1:
        raise malformed("A reserved flag of CONNACK is set")
    return bool(flags)


def _connack(cursor: Cursor, session_present: bool, reason_code: ReasonCode, properties: ConnackProperties) -> Connack:
    cursor.end()
    if session_present and reason_code:
        raise violation("A refused connection has a session")
    return Connack(session_present, reason_code, properties)
