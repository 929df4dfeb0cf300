"""Owns the way between frames and packets, for servers and for clients; refuses to know connections and sessions.

Decoding is strict: what MQTT calls malformed or a protocol error is PacketRefused, and nothing else is ever raised,
whatever the bytes. Three judgements are left to the caller, who answers them in other ways than by ending the
connection: whether a topic filter is valid, whether a client id is acceptable, and that QoS 2 is not served.
"""

from typing import Final

from thingmint.mqtt.framing import Frame
from thingmint.mqtt.packets import ClientPacket, Packet, ProtocolVersion, ServerPacket
from thingmint.mqtt.reason_codes import ReasonCode

# MQTT 3.1.1, table 3.1. A refusal without a code there ends in silence (MQTT-3.2.2-6).
RETURN_CODES: Final = {
    ReasonCode.SUCCESS: 0,
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: 1,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: 2,
    ReasonCode.SERVER_UNAVAILABLE: 3,
    ReasonCode.BAD_USER_NAME_OR_PASSWORD: 4,
    ReasonCode.NOT_AUTHORIZED: 5,
}

UNSUPPORTED_VERSION_ANSWER: Final = b"\x20\x02\x00\x01"
"""What to send, before closing, when a CONNECT was refused with UNSUPPORTED_PROTOCOL_VERSION; 3.1.1's form."""


def decode_client_packet(frame: Frame, version: ProtocolVersion | None) -> ClientPacket:
    """Return what a client sent; raise PacketRefused if it breaks the protocol.

    ``version`` is that of the connection's CONNECT, None before it: then only CONNECT is accepted, and after it none.
    """
    raise NotImplementedError


def decode_server_packet(frame: Frame, version: ProtocolVersion) -> ServerPacket:
    """Return what a server sent; raise PacketRefused if it breaks the protocol."""
    raise NotImplementedError


def encode(packet: Packet, version: ProtocolVersion) -> bytes:
    """Return the packet's bytes; raise ValueError if this version of MQTT cannot say it.

    What MQTT 3.1.1 merely lacks (properties, codes of acknowledgements) is left out there.
    """
    raise NotImplementedError
