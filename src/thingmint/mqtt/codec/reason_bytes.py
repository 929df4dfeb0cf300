"""Owns the encoding of reason codes: single, in lists, and with properties, where both may be omitted."""

from typing import TypeVar

from thingmint.mqtt.codec.property_bytes import PropertyBytes
from thingmint.mqtt.codec.reason_codes import ReasonCode
from thingmint.mqtt.codec.reason_tables import Codes
from thingmint.mqtt.codec.wire import Cursor, violation

_Properties = TypeVar("_Properties")


def read_code(cursor: Cursor, codes: Codes) -> ReasonCode:
    """Return the next byte as a reason code; raise PacketRefused if it is not allowed in the packet."""
    code = codes.get(cursor.byte())
    if code is None:
        raise violation("A reason code is unknown or not allowed in this packet")
    return code


def read_codes(cursor: Cursor, codes: Codes) -> tuple[ReasonCode, ...]:
    """Return the rest as one or more reason codes; raise PacketRefused if one is not allowed in the packet."""
    read = []
    while not cursor.at_end():
        read.append(read_code(cursor, codes))
    if not read:
        raise violation("An answer has no reason code")
    return tuple(read)


def read_reason(cursor: Cursor, codes: Codes, properties: PropertyBytes[_Properties]) -> tuple[ReasonCode, _Properties]:
    """Return the rest as a code and properties; if absent, they are success and none (MQTT 5, 3.4.2.1)."""
    if cursor.at_end():
        return ReasonCode.SUCCESS, properties.none
    code = read_code(cursor, codes)
    read = properties.none if cursor.at_end() else properties.read(cursor)
    cursor.end()
    return code, read


def code_bytes(codes: tuple[ReasonCode, ...], allowed: Codes) -> bytes:
    """Return one byte for each code; raise ValueError if there are no codes or one is not allowed in the packet."""
    if not codes or not all(code in allowed for code in codes):
        raise ValueError("this packet cannot carry these reason codes")
    return bytes(codes)


def reason_bytes(
    code: ReasonCode, allowed: Codes, properties: _Properties, writer: PropertyBytes[_Properties]
) -> bytes:
    """Return a code and properties in the shortest form; raise ValueError if the code is not allowed in the packet."""
    code_byte = code_bytes((code,), allowed)
    if properties != writer.none:
        return code_byte + writer.write(properties)
    return code_byte if code else b""
