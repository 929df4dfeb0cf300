"""Owns the bytes from the broker: their division into packets, and the pause of reading while packets must wait."""

import asyncio
from typing import Final

from thingmint.mqtt.codec.framing import Frame, FrameReader
from thingmint.mqtt.gateway.device_protocol import MAX_PACKET_BYTES

_READ_BYTES: Final = 64 * 1024


def new_read_buffer() -> memoryview:
    """Return a buffer that all connections of one event loop may share, because none uses it after a call."""
    return memoryview(bytearray(_READ_BYTES))


class RelayInput:
    """The reading half of one connection. The bytes of packets that nobody takes are kept."""

    __slots__ = ("_high", "_is_paused", "_transport", "reader")

    def __init__(self, transport: asyncio.Transport, high: int) -> None:
        self._transport = transport
        self._high = high
        self.reader = FrameReader(MAX_PACKET_BYTES)
        self._is_paused = False

    def feed(self, received: bytes) -> None:
        """Keep the bytes until they are taken."""
        self.reader.feed(received)

    def next_frame(self) -> Frame | None:
        """Return the next complete packet, or None; raise PacketRefused if it is too large."""
        return self.reader.next_frame()

    def pause_if_full(self) -> None:
        """Read no more if many bytes wait already."""
        if self.reader.buffered > self._high:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again, if reading is paused."""
        if self._is_paused and not self._transport.is_closing():
            self._is_paused = False
            self._transport.resume_reading()
