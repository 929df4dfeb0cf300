"""Owns one WebSocket as a stream of MQTT's bytes: frames, back-pressure, closing. Independent of HTTP and MQTT.

The connection was accepted by an HTTP server, which has done TLS and the opening handshake. The end of the peer's data,
by a Close frame or the end of the connection, is delivered after all data that it sent.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from thingmint.mqtt.transport.device_transport import ConnectionState, DeviceTransport, Owner
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.stream_protocol import StreamProtocol
from thingmint.mqtt.web_sockets.frames import MAX_FRAME_BYTES, Closing, WebSocketFrames

# So many bytes, and at least so many frames, are decoded before others have their turn. The shortest frame has 6 bytes.
_PIECE_BYTES: Final = 1024
_FRAMES_IN_A_TURN: Final = 64

log = logging.getLogger(__name__)


class WebSocketTransport(DeviceTransport, asyncio.Protocol):
    """One connection: below it the transport of the HTTP connection, above it a `StreamProtocol`."""

    __slots__ = ("_begin", "_frames", "_is_reading", "_position", "_waiting")

    def __init__(
        self,
        begin: Callable[["WebSocketTransport"], StreamProtocol],
        *,
        sockets: tuple[tuple[str, int], tuple[str, int]],
        limits: GatewayLimits,
        owner: Owner,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """``begin`` returns the protocol above, which has begun; ``sockets`` are the ends of the connection."""
        # The HTTP server has done the handshakes.
        super().__init__(
            address=sockets[0][0], sockets=sockets, limits=limits, owner=owner, loop=loop, state=ConnectionState.OPEN
        )
        self._begin = begin
        self._frames = WebSocketFrames()
        # Received bytes, and how many of them have been decoded.
        self._waiting = b""
        self._position = 0
        self._is_reading = True

    # For the protocol above

    def write(self, data: bytes | bytearray) -> None:
        """Send data, or nothing if the connection has ended; a peer that has far too much unread is disconnected."""
        if self._state is ConnectionState.OPEN and data:
            self._frames.send(data)
            self._flush()

    def close(self) -> None:
        """Send written data and a Close frame, and close; a peer that does not answer in time is disconnected."""
        if self._state is not ConnectionState.OPEN:
            return
        self._frames.close()
        self._flush()
        if self._state is ConnectionState.OPEN:
            self._drop_waiting()
            self._wait_for_close()

    # For the transport below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the opening handshake has been answered."""
        self._attach(transport)
        self._owner.established(self)
        self._upper = self._begin(self)

    def data_received(self, data: bytes) -> None:
        """Decode the bytes, or keep them while the protocol above, or other connections, take their time."""
        if self._told_end or self._state is not ConnectionState.OPEN:
            self._discard(data)
            return
        if not self.is_admitted:
            self._owner.received(self)
        if self._waiting:
            # They are decoded when the earlier ones are.
            self._waiting = self._waiting[self._position :] + data
            self._position = 0
            return
        self._waiting = data
        if self._owner.has_time_for(self):
            self._pump()
        else:
            self._arrange_reading()
            self._owner.in_turn(self, self._pump)

    def eof_received(self) -> bool:
        """Close the connection; what has arrived is delivered first."""
        return False

    # Between the two

    def _deliver_soon(self) -> None:
        self._owner.later(self._pump)

    def _pump(self) -> None:
        """Deliver the frames that have arrived, and report the end when nothing is left."""
        if self._state is not ConnectionState.OPEN:
            return
        before = self._frames.frames
        while self._waiting and self._may_deliver():
            if self._frames.frames - before >= _FRAMES_IN_A_TURN:
                self._owner.later(self._pump)
                break
            self._deliver_piece()
        if self._state is ConnectionState.OPEN:
            self._arrange_reading()
            if self._peer_is_done and not self._waiting:
                self._tell_end(is_farewell=False)

    def _deliver_piece(self) -> None:
        piece = self._waiting[self._position : self._position + _PIECE_BYTES]
        self._position += len(piece)
        if self._position >= len(self._waiting):
            self._drop_waiting()
        most = MAX_FRAME_BYTES if self.is_admitted else self._limits.request_backlog_bytes
        payload = self._frames.take(piece, most)
        # Pings are answered before the data behind them is handled.
        self._flush()
        if payload and self._upper is not None and self._state is ConnectionState.OPEN:
            self._upper.data_received(payload)
        closing = self._frames.closing
        if closing is not None:
            self._drop_waiting()
            self._note_peer_is_done()
            self._tell_end(is_farewell=closing is Closing.FAREWELL)

    def _drop_waiting(self) -> None:
        self._waiting, self._position = b"", 0

    def _discard(self, data: bytes) -> None:
        """Look only for the peer's Close frame, after which the connection can be closed."""
        is_awaited = self._has_discarded(len(data)) and self._state is ConnectionState.CLOSING
        if is_awaited and self._lower is not None:
            self._frames.take(data, MAX_FRAME_BYTES)
            if self._frames.closing is not None:
                self._lower.close()

    def _flush(self) -> None:
        output = self._frames.output()
        if not output or self._lower is None:
            return
        if self._lower.get_write_buffer_size() + len(output) > self._limits.write_limit_bytes:
            log.debug("%r leaves too much unread", self)
            self.abort()
        else:
            self._lower.write(output)

    def _tell_end(self, *, is_farewell: bool) -> None:
        if self._upper is not None and not self._told_end:
            self._told_end = True
            self._upper.eof_received(is_farewell=is_farewell)

    def _await_close(self, lower: asyncio.Transport) -> None:
        if self._frames.closing is not None:
            lower.close()
        else:
            self._read(on=True)

    def _release(self) -> None:
        # The connection itself stays in the list of deadlines for a while.
        self._frames.let_go()
        del self._frames

    def _arrange_reading(self) -> None:
        if self._state is ConnectionState.OPEN:
            self._read(on=not (self._reading_paused or self._writing_paused or self._waiting))

    def _read(self, *, on: bool) -> None:
        if on is self._is_reading or self._lower is None or self._lower.is_closing():
            return
        self._is_reading = on
        if on:
            self._lower.resume_reading()
        else:
            self._lower.pause_reading()
