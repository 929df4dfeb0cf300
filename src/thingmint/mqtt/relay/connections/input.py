"""Owns the bytes from the broker: their division into packets, and the pauses of reading.

A broker sends a message for many devices to all their connections at once. Therefore the connections of an event loop
share a time for each turn of it, in which packets are taken.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from thingmint.core.identifiers import Scope
from thingmint.mqtt.codec.framing import Frame, FrameReader
from thingmint.mqtt.gateway.link.device_protocol import MAX_PACKET_BYTES
from thingmint.mqtt.pacing.slices import Slices
from thingmint.mqtt.pacing.turns import Turns

_READ_BYTES: Final = 64 * 1024


class SharedReading:
    """What all connections of one event loop share: a buffer that none uses after a call, and the time in each turn."""

    __slots__ = ("buffer", "endings", "turns")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.buffer = memoryview(bytearray(_READ_BYTES))
        self.turns = Turns(loop)
        self.endings = Slices(loop)


class RelayInput:
    """The reading half of one connection. The bytes of packets that nobody takes are kept.

    ``go_on`` is called in the turn for which ``has_time`` has waited.
    """

    __slots__ = ("_account", "_go_on", "_has_turn", "_high", "_is_paused", "_transport", "_turns", "reader", "waits")

    def __init__(
        self, transport: asyncio.Transport, high: int, turns: Turns, account: Scope, go_on: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._high = high
        self._turns = turns
        self._account = account
        self._go_on = go_on
        self.reader = FrameReader(MAX_PACKET_BYTES)
        self._is_paused = False
        self._has_turn = False
        self.waits = False
        """Whether packets wait for a later turn."""

    def feed(self, received: bytes) -> None:
        """Keep the bytes until they are taken."""
        self.reader.feed(received)

    def has_time(self) -> bool:
        """Return whether a packet may be taken in this turn; if not, wait for a later one."""
        if self._has_turn or not self._turns.is_over:
            # Each connection that has waited takes at least one packet, so that all make progress.
            self._has_turn = False
            return True
        self.waits = True
        self._turns.call_later(self._account, self._take_turn)
        return False

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

    def _take_turn(self) -> None:
        if self.waits:
            self.waits, self._has_turn = False, True
            self._go_on()
