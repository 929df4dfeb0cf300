"""Owns one TLS connection on one TCP transport: handshake, records, back-pressure, closing; knows nothing of MQTT.

asyncio's own TLS loses the alert that says why a handshake failed, and keeps 256 KiB per connection. Here OpenSSL works
on two memory buffers: what arrives goes in, what it wants to send comes out, and nothing waits.
"""

import asyncio
import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol, cast

from OpenSSL import SSL

from thingmint.mqtt.gateway_limits import GatewayLimits
from thingmint.mqtt.tls import Peer, peer_of
from thingmint.words import in_words

# A record carries at most 16 KiB. OpenSSL's memory buffers grow to what they once held, so they get no more than that.
_RECORD_BYTES = 16 * 1024
_LOW_WATER_DIVISOR = 4
_OUTPUT_BYTES = 64 * 1024

log = logging.getLogger(__name__)


class TLSProtocol(Protocol):
    """What speaks over the connection; its methods must not raise."""

    def established(self, transport: "TLSTransport", peer: Peer) -> None:
        """Begin: the handshake is done, and the peer holds the key of the certificate it showed."""
        ...

    def data_received(self, data: bytes) -> None:
        """Take what the peer sent."""
        ...

    def pause_writing(self) -> None:
        """Note that the peer reads slower than is written."""
        ...

    def resume_writing(self) -> None:
        """Note that the peer has caught up."""
        ...

    def connection_lost(self) -> None:
        """End: called once, if `established` was, and nothing is called afterwards."""
        ...


class Owner(Protocol):
    """Who keeps count of the connections."""

    def established(self, transport: "TLSTransport") -> None:
        """Note that the handshake is done."""
        ...

    def stalled(self, transport: "TLSTransport", since: float | None) -> None:
        """Note since when the peer has left too much unread; None once it has caught up."""
        ...

    def lost(self, transport: "TLSTransport") -> None:
        """Forget the connection."""
        ...


class _State(Enum):
    HANDSHAKE = auto()
    OPEN = auto()
    # Our last words are sent; what still arrives is thrown away. Closing a socket with unread bytes would reset the
    # connection, and the peer might never read those words.
    CLOSING = auto()
    LOST = auto()


def new_read_buffer() -> memoryview:
    """Return a buffer that all connections of one event loop may share: none holds it beyond a call."""
    return memoryview(bytearray(_RECORD_BYTES))


class TLSTransport(asyncio.BufferedProtocol):
    """One connection: below it a TCP transport, above it a `TLSProtocol`."""

    __slots__ = (
        "_closing_timer",
        "_discarded",
        "_handshake_bytes",
        "_limits",
        "_loop",
        "_lower",
        "_new_upper",
        "_owner",
        "_read_buffer",
        "_reading_paused",
        "_ssl",
        "_state",
        "_upper",
        "_writing_paused",
        "address",
    )

    def __init__(
        self,
        context: SSL.Context,
        new_upper: Callable[[], TLSProtocol],
        *,
        address: str,
        limits: GatewayLimits,
        owner: Owner,
        read_buffer: memoryview,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._ssl = SSL.Connection(context, None)
        self._ssl.set_accept_state()
        self._new_upper = new_upper
        self.address = address
        self._limits = limits
        self._owner = owner
        self._read_buffer = read_buffer
        self._loop = loop
        self._lower: asyncio.Transport | None = None
        self._upper: TLSProtocol | None = None
        self._state = _State.HANDSHAKE
        self._handshake_bytes = 0
        self._discarded = 0
        self._reading_paused = False
        self._writing_paused = False
        self._closing_timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<TLSTransport from {self.address}, {self._state.name.lower()}>"

    # For the protocol above

    @property
    def sockets(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """The addresses and ports of the peer and of this end."""
        assert self._lower is not None, "there is a socket from the first event on"
        peer, own = (self._lower.get_extra_info(name) for name in ("peername", "sockname"))
        return (peer[0], peer[1]), (own[0], own[1])

    @property
    def is_open(self) -> bool:
        """Whether what is written may still reach the peer."""
        return self._state is _State.OPEN

    @property
    def is_established(self) -> bool:
        """Whether the handshake is done."""
        return self._state is not _State.HANDSHAKE

    def write(self, data: bytes) -> None:
        """Send data, or nothing if the connection is over; a peer that leaves far too much unread is cut off."""
        if self._state is not _State.OPEN or self._lower is None:
            return
        if self._lower.get_write_buffer_size() + len(data) > self._limits.write_limit_bytes:
            log.debug("%r leaves too much unread", self)
            self.abort()
            return
        view = memoryview(data)
        try:
            while view:
                view = view[self._ssl.send(view[:_RECORD_BYTES]) :]
                self._flush()
        except SSL.Error:
            self.abort()

    def pause_reading(self) -> None:
        """Deliver nothing more until `resume_reading`; the peer will notice by its own full buffers."""
        self._reading_paused = True
        self._arrange_reading()

    def resume_reading(self) -> None:
        """Deliver again, in the loop's next turn at the earliest."""
        if self._reading_paused:
            self._reading_paused = False
            self._arrange_reading()
            # OpenSSL may still hold records that arrived before the pause.
            self._loop.call_soon(self._pump)

    def close(self) -> None:
        """Send what is written, say that it was all, and close; whoever does not read it in time is cut off."""
        if self._state is _State.OPEN:
            try:
                self._ssl.shutdown()
            except SSL.Error:
                self.abort()
                return
        if self._state in (_State.OPEN, _State.HANDSHAKE):
            self._say_last_words()

    def abort(self) -> None:
        """Close at once, whatever is still unsent."""
        if self._state is not _State.LOST:
            self._state = _State.CLOSING
            if self._lower is not None:
                self._lower.abort()

    # For the TCP transport below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        # uvloop's transports are none of asyncio's class.
        lower = self._lower = cast("asyncio.Transport", transport)
        if self._state is not _State.HANDSHAKE:
            lower.abort()
            return
        high = self._limits.write_high_bytes
        lower.set_write_buffer_limits(high=high, low=high // _LOW_WATER_DIVISOR)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer for one read."""
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        if self._state is _State.CLOSING:
            self._discard(nbytes)
            return
        if self._state is _State.HANDSHAKE:
            self._handshake_bytes += nbytes
            if self._handshake_bytes > self._limits.handshake_bytes:
                self.abort()
                return
        self._ssl.bio_write(self._read_buffer[:nbytes])
        self._pump()

    def eof_received(self) -> bool:
        """Close: MQTT has its own way to say goodbye, and nothing is left to answer."""
        return False

    def pause_writing(self) -> None:
        """Stop reading from a peer that does not read: its requests would only make more to write."""
        self._writing_paused = True
        self._owner.stalled(self, self._loop.time())
        self._arrange_reading()
        if self._upper is not None:
            self._upper.pause_writing()

    def resume_writing(self) -> None:
        """Go on."""
        self._writing_paused = False
        self._owner.stalled(self, None)
        self._arrange_reading()
        if self._upper is not None:
            self._upper.resume_writing()
        self._loop.call_soon(self._pump)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever was told of the beginning."""
        self._state = _State.LOST
        if self._closing_timer is not None:
            self._closing_timer.cancel()
        self._owner.stalled(self, None)
        self._owner.lost(self)
        self._lower = None
        # OpenSSL's share is large: it should not wait for the garbage collector, should a cycle hold this object.
        del self._ssl
        upper, self._upper = self._upper, None
        if upper is not None:
            upper.connection_lost()

    # Between the two

    def _pump(self) -> None:
        """Let OpenSSL work on what has arrived, and send what it answers."""
        try:
            if self._state is _State.HANDSHAKE:
                self._ssl.do_handshake()
                self._establish()
            while self._state is _State.OPEN and not self._reading_paused and not self._writing_paused:
                assert self._upper is not None
                self._upper.data_received(self._ssl.recv(_RECORD_BYTES))
        except SSL.WantReadError:
            # Handshakes and key updates are answered by OpenSSL itself.
            self._flush()
        except SSL.ZeroReturnError:
            self.close()
        except SSL.Error as error:
            log.debug("%r: %s", self, in_words(error))
            self._say_last_words()

    def _establish(self) -> None:
        self._state = _State.OPEN
        self._flush()
        self._upper = self._new_upper()
        self._owner.established(self)
        self._upper.established(self, peer_of(self._ssl))

    def _flush(self) -> None:
        if self._lower is None:
            return
        try:
            while True:
                output = self._ssl.bio_read(_OUTPUT_BYTES)
                self._lower.write(output)
                if len(output) < _OUTPUT_BYTES:
                    return
        except SSL.WantReadError:
            return

    def _say_last_words(self) -> None:
        """Send the alert that OpenSSL has made, then wait a little for the peer to read it and to close."""
        self._flush()
        if self._lower is None:
            return
        self._state = _State.CLOSING
        self._lower.resume_reading()
        self._closing_timer = self._loop.call_later(self._limits.close_seconds, self.abort)
        if not self._lower.is_closing():
            try:
                self._lower.write_eof()
            except OSError:
                # The peer has reset the connection, and the loop is yet to notice.
                self._lower.abort()

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > self._limits.handshake_bytes:
            self.abort()

    def _arrange_reading(self) -> None:
        if self._lower is None or self._lower.is_closing() or self._state is _State.CLOSING:
            return
        if self._reading_paused or self._writing_paused:
            self._lower.pause_reading()
        else:
            self._lower.resume_reading()
