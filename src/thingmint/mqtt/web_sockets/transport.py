"""Owns one WebSocket as a stream of MQTT's bytes: frames, back-pressure, closing. Independent of HTTP and MQTT.

The connection was accepted by an HTTP server, which has done TLS and the opening handshake. The end of the peer's data,
by a Close frame or the end of the connection, is delivered after all data that it sent.
"""

import asyncio
import logging
from collections.abc import Callable, Hashable
from enum import Enum, auto
from typing import Final, cast

from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.tls_roles import Owner, StreamProtocol
from thingmint.mqtt.web_sockets.frames import MAX_FRAME_BYTES, Closing, WebSocketFrames

_LOW_WATER_DIVISOR: Final = 4
# So many bytes, and at least so many frames, are decoded before others have their turn. The shortest frame has 6 bytes.
_PIECE_BYTES: Final = 1024
_FRAMES_IN_A_TURN: Final = 64

log = logging.getLogger(__name__)


class _SocketState(Enum):
    OPEN = auto()
    # A Close frame was sent. Until the peer's arrives, what it sends is thrown away.
    CLOSING = auto()
    LOST = auto()


class WebSocketTransport(asyncio.Protocol):
    """One connection: below it the transport of the HTTP connection, above it a `StreamProtocol`."""

    __slots__ = (
        "_begin",
        "_deadline",
        "_discarded",
        "_frames",
        "_is_reading",
        "_limits",
        "_loop",
        "_lower",
        "_owner",
        "_peer_is_done",
        "_position",
        "_reading_paused",
        "_state",
        "_told_end",
        "_upper",
        "_waiting",
        "_writing_paused",
        "account",
        "address",
        "is_admitted",
        "sockets",
    )

    def __init__(
        self,
        begin: Callable[["WebSocketTransport"], StreamProtocol],
        *,
        sockets: tuple[tuple[str, int], tuple[str, int]],
        limits: GatewayLimits,
        owner: Owner["WebSocketTransport"],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """``begin`` returns the protocol above, which has begun; ``sockets`` are the ends of the connection."""
        self._begin = begin
        self.sockets = sockets
        self.address = sockets[0][0]
        self.is_admitted = False
        self.account: Hashable = None
        """The account of an admitted device."""
        self._limits = limits
        self._owner = owner
        self._loop = loop
        self._lower: asyncio.Transport | None = None
        self._upper: StreamProtocol | None = None
        self._frames = WebSocketFrames()
        self._state = _SocketState.OPEN
        # Received bytes, and how many of them have been decoded.
        self._waiting = b""
        self._position = 0
        self._is_reading = True
        self._peer_is_done = False
        self._told_end = False
        self._discarded = 0
        self._reading_paused = False
        self._writing_paused = False
        self._deadline: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<WebSocketTransport from {self.address}, {self._state.name.lower()}>"

    # For the protocol above

    @property
    def is_established(self) -> bool:
        """Return True: the HTTP server has done the handshakes."""
        return True

    def write(self, data: bytes | bytearray) -> None:
        """Send data, or nothing if the connection has ended; a peer that has far too much unread is disconnected."""
        if self._state is _SocketState.OPEN and data:
            self._frames.send(data)
            self._flush()

    def pause_reading(self) -> None:
        """Deliver nothing more until `resume_reading`; TCP's flow control then stops the peer."""
        self._reading_paused = True
        self._arrange_reading()

    def resume_reading(self) -> None:
        """Deliver again, in the event loop's next turn at the earliest."""
        if self._reading_paused:
            self._reading_paused = False
            self._owner.later(self._pump)

    def close(self) -> None:
        """Send written data and a Close frame, and close; a peer that does not answer in time is disconnected."""
        if self._state is not _SocketState.OPEN:
            return
        self._frames.close()
        self._flush()
        if self._state is _SocketState.OPEN:
            self._say_last_words()

    def abort(self) -> None:
        """Close at once; unsent bytes are lost."""
        if self._state is _SocketState.LOST:
            return
        self._state = _SocketState.CLOSING
        if self._lower is not None:
            self._lower.abort()
        else:
            self._loop.call_soon(self._finish)

    # For the transport below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the opening handshake has been answered."""
        # uvloop's transports are none of asyncio's class.
        lower = self._lower = cast("asyncio.Transport", transport)
        high = self._limits.write_high_bytes
        lower.set_write_buffer_limits(high=high, low=high // _LOW_WATER_DIVISOR)
        self._owner.established(self)
        self._upper = self._begin(self)

    def data_received(self, data: bytes) -> None:
        """Decode the bytes, or keep them while the protocol above, or other connections, take their time."""
        if self._told_end or self._state is not _SocketState.OPEN:
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

    def pause_writing(self) -> None:
        """Stop reading from a peer that does not read, because its requests would produce more data to write."""
        self._writing_paused = True
        self._owner.stalled(self, self._loop.time())
        self._arrange_reading()
        if self._upper is not None:
            self._upper.pause_writing()

    def resume_writing(self) -> None:
        """Read and write again."""
        self._writing_paused = False
        self._owner.stalled(self, None)
        if self._upper is not None:
            self._upper.resume_writing()
        self._owner.later(self._pump)

    def connection_lost(self, exc: Exception | None) -> None:
        """Deliver data that had arrived before, unless this side has ended the connection; then end."""
        self._lower = None
        self._owner.stalled(self, None)
        if self._state is not _SocketState.OPEN:
            self._owner.later(self._finish)
            return
        self._note_peer_is_done()
        self._writing_paused = False
        self._owner.later(self._lose)

    # Between the two

    def _lose(self) -> None:
        if self._upper is not None:
            self._upper.writing_lost()
        self._pump()

    def _pump(self) -> None:
        """Deliver the frames that have arrived, and report the end when nothing is left."""
        if self._state is not _SocketState.OPEN:
            return
        before = self._frames.frames
        while self._waiting and self._may_deliver():
            if self._frames.frames - before >= _FRAMES_IN_A_TURN:
                self._owner.later(self._pump)
                break
            self._deliver_piece()
        if self._state is _SocketState.OPEN:
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
        if payload and self._upper is not None and self._state is _SocketState.OPEN:
            self._upper.data_received(payload)
        closing = self._frames.closing
        if closing is not None:
            self._drop_waiting()
            self._note_peer_is_done()
            self._tell_end(is_farewell=closing is Closing.FAREWELL)

    def _drop_waiting(self) -> None:
        self._waiting, self._position = b"", 0

    def _may_deliver(self) -> bool:
        is_paused = self._reading_paused or self._writing_paused
        return self._state is _SocketState.OPEN and not self._told_end and not is_paused

    def _discard(self, data: bytes) -> None:
        """Look only for the peer's Close frame, after which the connection can be closed."""
        self._discarded += len(data)
        if self._discarded > self._limits.handshake_bytes:
            self.abort()
        elif self._state is _SocketState.CLOSING and self._lower is not None:
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

    def _note_peer_is_done(self) -> None:
        """Start the time limit for handling received data; the peer sends nothing more."""
        if not self._peer_is_done:
            self._peer_is_done = True
            self._abort_after(self._limits.drain_seconds)

    def _tell_end(self, *, is_farewell: bool) -> None:
        if self._upper is not None and not self._told_end:
            self._told_end = True
            self._upper.eof_received(is_farewell=is_farewell)

    def _say_last_words(self) -> None:
        """Wait a short time until the peer has read the Close frame and answered it."""
        self._state = _SocketState.CLOSING
        self._drop_waiting()
        if self._lower is None:
            self._loop.call_soon(self._finish)
            return
        self._abort_after(self._limits.close_seconds)
        if self._frames.closing is not None:
            self._lower.close()
        else:
            self._read(on=True)

    def _finish(self) -> None:
        """Notify the owner and the protocol of the end, once."""
        if self._state is _SocketState.LOST:
            return
        self._state = _SocketState.LOST
        if self._deadline is not None:
            self._deadline.cancel()
        self._owner.lost(self)
        # The connection itself stays in the list of deadlines for a while.
        self._frames.let_go()
        del self._frames
        upper, self._upper = self._upper, None
        if upper is not None:
            upper.connection_lost()

    def _abort_after(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, self.abort)

    def _arrange_reading(self) -> None:
        if self._state is _SocketState.OPEN:
            self._read(on=not (self._reading_paused or self._writing_paused or self._waiting))

    def _read(self, *, on: bool) -> None:
        if on is self._is_reading or self._lower is None or self._lower.is_closing():
            return
        self._is_reading = on
        if on:
            self._lower.resume_reading()
        else:
            self._lower.pause_reading()
