"""Owns the division of a byte stream into MQTT packets. Independent of their content.

A packet that is too large is refused when its first bytes arrive, before any of its body is kept. All bytes that are
fed are kept until they are taken, so the caller must stop reading from the socket while packets remain.
"""

from typing import Final, NamedTuple

from thingmint.mqtt.codec.reason_codes import PacketRefused, ReasonCode

MAX_REMAINING_LENGTH: Final = 268_435_455
_LENGTH_OCTETS: Final = 4
_CONTINUES: Final = 0x80
# The first byte and the shortest remaining length; a shorter buffer contains no packet.
_SHORTEST: Final = 2

# PUBACK (0x40) with only a packet identifier.
_ACKNOWLEDGEMENT: Final = b"\x40\x02"
_ACKNOWLEDGEMENT_BYTES: Final = 4


class Frame(NamedTuple):
    """One packet: its first byte (type and flags), and its body after the remaining length.

    ``padded`` means that the remaining length had more octets than necessary, which MQTT 5 forbids (MQTT-1.5.5-1).
    """

    first_byte: int
    body: bytes
    padded: bool = False

    def __repr__(self) -> str:
        # Bodies may contain private keys and passwords.
        return f"Frame(first_byte=0x{self.first_byte:02x}, {len(self.body)} bytes)"


class FrameReader:
    """Takes bytes in any portions and returns complete packets, each of at most ``max_packet_size`` bytes in total.

    The size may be changed at any time, for example after CONNECT; it applies from the next packet on.
    """

    __slots__ = ("_buffer", "_wanted", "max_packet_size")

    def __init__(self, max_packet_size: int) -> None:
        self.max_packet_size = max_packet_size
        self._buffer = bytearray()
        self._wanted = _SHORTEST

    @property
    def buffered(self) -> int:
        """How many bytes were fed and have not been taken."""
        return len(self._buffer)

    def feed(self, received: bytes) -> None:
        """Add bytes from the peer."""
        self._buffer += received

    @property
    def first_byte(self) -> int:
        """The first byte of the next packet; 0, which is never a first byte, if the buffer is empty."""
        return self._buffer[0] if self._buffer else 0

    def only_acknowledgement(self, received: bytes) -> int:
        """Return the packet identifier of a PUBACK in its shortest form if the bytes are one and the buffer is empty.

        Otherwise return 0. The bytes are not added to the buffer.
        """
        if len(received) != _ACKNOWLEDGEMENT_BYTES or self._buffer or not received.startswith(_ACKNOWLEDGEMENT):
            return 0
        return received[2] << 8 | received[3]

    def next_acknowledgement(self) -> int:
        """Return the packet identifier of the next packet if it is a PUBACK in its shortest form; otherwise 0.

        This is by far the most frequent packet of receiving clients. `next_frame` returns longer and invalid ones.
        """
        buffer = self._buffer
        if len(buffer) < _ACKNOWLEDGEMENT_BYTES or not buffer.startswith(_ACKNOWLEDGEMENT):
            return 0
        packet_id = buffer[2] << 8 | buffer[3]
        if packet_id:
            del buffer[:_ACKNOWLEDGEMENT_BYTES]
            self._wanted = _SHORTEST
        return packet_id

    def next_repeated(self, first_byte: int, beginning: bytes) -> bytes:
        """Return the whole next packet if it has this first byte and its body begins so; otherwise nothing.

        `next_frame` returns all others, and packets whose remaining length has more than two octets.
        """
        buffer = self._buffer
        if len(buffer) < self._wanted or buffer[0] != first_byte:
            return b""
        length, start = buffer[1], 2
        if length & _CONTINUES:
            if len(buffer) < start + 1 or not 0 < buffer[2] < _CONTINUES:
                return b""
            length, start = length & ~_CONTINUES | buffer[2] << 7, 3
        end = start + length
        if len(buffer) < end or end > self.max_packet_size or len(beginning) > length:
            return b""
        if not buffer.startswith(beginning, start):
            return b""
        taken = bytes(buffer[:end])
        del buffer[:end]
        self._wanted = _SHORTEST
        return taken

    def next_frame(self) -> Frame | None:
        """Return the next packet, or None if it is incomplete; raise PacketRefused if it is too large or invalid."""
        buffer = self._buffer
        if len(buffer) < self._wanted:
            return None
        length, start = buffer[1], 2
        if length & _CONTINUES:
            start = self._length_end()
            if not start:
                return None
            length = sum((buffer[at] & ~_CONTINUES) << 7 * (at - 1) for at in range(1, start))
        end = start + length
        if end > self.max_packet_size:
            raise PacketRefused(ReasonCode.PACKET_TOO_LARGE, f"A packet is longer than {self.max_packet_size} bytes")
        if len(buffer) < end:
            self._wanted = end
            return None
        frame = Frame(buffer[0], bytes(buffer[start:end]), start > _SHORTEST and not buffer[start - 1])
        # CPython changes the start of the bytearray here, and does not move its content.
        del buffer[:end]
        self._wanted = _SHORTEST
        return frame

    def _length_end(self) -> int:
        # The offset after a remaining length of several octets; 0 if its last octet has not arrived.
        for offset in range(2, 1 + _LENGTH_OCTETS):
            if offset >= len(self._buffer):
                self._wanted = offset + 1
                return 0
            if not self._buffer[offset] & _CONTINUES:
                return offset + 1
        raise PacketRefused(ReasonCode.MALFORMED_PACKET, "The remaining length has more than four octets")


def frame_bytes(first_byte: int, body: bytes) -> bytes:
    """Return a packet's bytes; raise ValueError if the body is longer than MQTT allows."""
    length = len(body)
    if length < _CONTINUES:
        return bytes((first_byte, length)) + body
    return bytes((first_byte,)) + variable_byte_integer(length) + body


def variable_byte_integer(value: int) -> bytes:
    """Return the value in MQTT's encoding (MQTT 5, 1.5.5); raise ValueError if it does not fit into four octets."""
    if not 0 <= value <= MAX_REMAINING_LENGTH:
        raise ValueError("a variable byte integer is at most 268435455")
    octets = bytearray()
    while value >= _CONTINUES:
        octets.append(value & ~_CONTINUES & 0xFF | _CONTINUES)
        value >>= 7
    octets.append(value)
    return bytes(octets)
