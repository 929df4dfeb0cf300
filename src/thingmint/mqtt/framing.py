"""Owns the cutting of a stream of bytes into MQTT packets; refuses to know what is in them.

A packet that is too large is refused by its first bytes, before any of its body is kept. What is fed is kept until it is
taken: whoever feeds stops reading from the socket while packets remain to be taken.
"""

from typing import NamedTuple

from thingmint.mqtt.reason_codes import PacketRefused, ReasonCode

MAX_REMAINING_LENGTH = 268_435_455
_MAX_LENGTH_OCTETS = 4
_CONTINUES = 0x80


class Frame(NamedTuple):
    """One packet: its first byte (type and flags), and what follows the remaining length."""

    first_byte: int
    body: bytes

    @property
    def wire(self) -> bytes:
        """The packet's bytes, as a relay passes them on."""
        return frame_bytes(self.first_byte, self.body)


class FrameReader:
    """Takes bytes in any portions and gives whole packets, each at most ``max_packet_size`` bytes in all."""

    def __init__(self, max_packet_size: int) -> None:
        self.max_packet_size = max_packet_size
        """May be set at any time, as after CONNECT; holds from the next packet on."""
        self._buffer = bytearray()
        self._wanted = 2  # No packet is shorter; until the buffer is that long, looking at it is in vain.

    @property
    def buffered(self) -> int:
        """How many bytes were fed and not yet taken."""
        return len(self._buffer)

    def feed(self, received: bytes) -> None:
        """Add what the peer sent."""
        self._buffer += received

    def next_frame(self) -> Frame | None:
        """Return the next whole packet, or None until more is fed; raise PacketRefused where there can be none."""
        raise NotImplementedError


def frame_bytes(first_byte: int, body: bytes) -> bytes:
    """Return a packet's bytes; raise ValueError if the body is longer than MQTT can say."""
    raise NotImplementedError
