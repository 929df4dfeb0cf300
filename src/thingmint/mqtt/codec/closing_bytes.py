"""Owns the encoding of DISCONNECT and AUTH, whose valid content differs for clients and servers."""

from typing import Final

from thingmint.mqtt.codec import property_bytes, reason_tables
from thingmint.mqtt.codec.packets import Auth, Disconnect
from thingmint.mqtt.codec.properties import DisconnectProperties
from thingmint.mqtt.codec.property_bytes import PropertyBytes
from thingmint.mqtt.codec.reason_bytes import code_bytes, read_code, read_reason, reason_bytes
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.reason_tables import Codes
from thingmint.mqtt.codec.wire import Cursor, violation

_SUCCESS: Final = Auth()


def decode_disconnect_3_1_1(cursor: Cursor) -> Disconnect:
    """Return the packet; raise PacketRefused if it violates the protocol."""
    cursor.end()
    return Disconnect()


def decode_disconnect_of_client(cursor: Cursor) -> Disconnect:
    """Return an MQTT 5 client's packet; raise PacketRefused if it violates the protocol."""
    return Disconnect(*read_reason(cursor, reason_tables.DISCONNECT_OF_CLIENT, property_bytes.DISCONNECT_OF_CLIENT))


def decode_disconnect_of_server(cursor: Cursor) -> Disconnect:
    """Return an MQTT 5 server's packet; raise PacketRefused if it violates the protocol."""
    return Disconnect(*read_reason(cursor, reason_tables.DISCONNECT_OF_SERVER, property_bytes.DISCONNECT_OF_SERVER))


def encode_disconnect(packet: Disconnect, *, is_5: bool) -> bytes:
    """Return the packet's body; raise ValueError if a value cannot be encoded."""
    if not is_5:
        return b""
    writer: PropertyBytes[DisconnectProperties] = property_bytes.DISCONNECT_OF_CLIENT
    return reason_bytes(packet.reason_code, reason_tables.DISCONNECT, packet.properties, writer)


def decode_auth_of_client(cursor: Cursor) -> Auth:
    """Return an MQTT 5 client's packet; raise PacketRefused if it violates the protocol."""
    return _decode_auth(cursor, reason_tables.AUTH_OF_CLIENT)


def decode_auth_of_server(cursor: Cursor) -> Auth:
    """Return an MQTT 5 server's packet; raise PacketRefused if it violates the protocol."""
    return _decode_auth(cursor, reason_tables.AUTH_OF_SERVER)


def encode_auth(packet: Auth, *, is_5: bool) -> bytes:
    """Return the packet's body; raise ValueError if a value cannot be encoded."""
    if not is_5:
        raise ValueError("MQTT 3.1.1 has no AUTH")
    if packet == _SUCCESS:
        return b""
    if packet.properties.authentication_method is None:
        raise ValueError("AUTH names a method")
    return code_bytes((packet.reason_code,), reason_tables.AUTH) + property_bytes.AUTH.write(packet.properties)


def _decode_auth(cursor: Cursor, codes: Codes) -> Auth:
    # MQTT 5, 3.15.2.1: success without properties is encoded as an empty body.
    if cursor.at_end() and ReasonCode.SUCCESS in codes:
        return _SUCCESS
    reason_code, properties = read_code(cursor, codes), property_bytes.AUTH.read(cursor)
    cursor.end()
    if properties.authentication_method is None:
        raise violation("AUTH names no method")
    return Auth(reason_code, properties)
