"""Owns the writing to one device: packets of one turn of the event loop are sent together, with back-pressure.

Separate packets would each cost a TLS record.
"""

from thingmint.mqtt.transport.device_transport import DeviceTransport
from thingmint.mqtt.transport.flushes import Flushes
from thingmint.mqtt.transport.limits import GatewayLimits


class Writer:
    """Writes to a transport. Callers that can wait check ``is_congested``; the transport disconnects a slow peer."""

    __slots__ = ("_flushes", "_high", "_scheduled", "_transport", "_waiting", "paused")

    def __init__(self, transport: DeviceTransport, limits: GatewayLimits, flushes: Flushes) -> None:
        self._transport = transport
        self._high = limits.write_high_bytes
        self._flushes = flushes
        # Mostly one packet, which is sent as it is.
        self._waiting: bytes | bytearray = b""
        self._scheduled = False
        self.paused = False

    @property
    def is_congested(self) -> bool:
        """Whether the device reads more slowly than the service writes."""
        return self.paused or len(self._waiting) > self._high

    def write(self, encoded: bytes) -> None:
        """Send the bytes in this turn of the event loop or the next."""
        if self._waiting:
            self._add(encoded)
        else:
            self._waiting = encoded
        if len(self._waiting) > self._high:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._flushes.add(self)

    def flush(self) -> None:
        """Send at once."""
        if self._waiting:
            # An idle connection should not keep a buffer.
            waiting, self._waiting = self._waiting, b""
            self._transport.write(waiting)

    def close(self, last_words: bytes) -> None:
        """Send waiting packets, then the last packet, and close."""
        self._add(last_words)
        self.flush()
        self._transport.close()

    def cut(self, last_words: bytes) -> None:
        """Discard waiting packets; send the last packet if the device reads, and close."""
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

    def flush_on_time(self) -> None:
        """Send at the end of the turn in which the first packet was written."""
        self._scheduled = False
        waiting = self._waiting
        if waiting:
            self._waiting = b""
            self._transport.write(waiting)
