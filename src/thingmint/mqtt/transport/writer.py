"""Owns what is written to one device: packets of one turn of the loop leave together, and the slow are noticed.

Each packet alone would cost a TLS record of its own.
"""

import asyncio

from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.tls_transport import TLSTransport


class Writer:
    """The way to a transport. Callers with a choice ask ``is_congested``; the transport cuts off what is too much."""

    __slots__ = ("_high", "_loop", "_scheduled", "_transport", "_waiting", "paused")

    def __init__(self, transport: TLSTransport, limits: GatewayLimits, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._high = limits.write_high_bytes
        self._loop = loop
        # Mostly one packet, which is sent as it is.
        self._waiting: bytes | bytearray = b""
        self._scheduled = False
        self.paused = False

    @property
    def is_congested(self) -> bool:
        """Whether the device reads slower than is written."""
        return self.paused or len(self._waiting) > self._high

    def write(self, encoded: bytes) -> None:
        """Send the bytes in this turn of the loop or the next."""
        self._add(encoded)
        if len(self._waiting) > self._high:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush_on_time)

    def flush(self) -> None:
        """Send at once."""
        if self._waiting:
            # An idle connection should not keep a buffer.
            waiting, self._waiting = self._waiting, b""
            self._transport.write(waiting)

    def close(self, last_words: bytes) -> None:
        """Send what waits, then the last words, and close."""
        self._add(last_words)
        self.flush()
        self._transport.close()

    def cut(self, last_words: bytes) -> None:
        """Throw away what waits; say the last words to a device that reads, and close."""
        self._waiting = b""
        if self.paused:
            self._transport.abort()
        else:
            self.close(last_words)

    def _add(self, encoded: bytes) -> None:
        if not self._waiting:
            self._waiting = encoded
            return
        if isinstance(self._waiting, bytes):
            self._waiting = bytearray(self._waiting)
        self._waiting += encoded

    def _flush_on_time(self) -> None:
        self._scheduled = False
        self.flush()
