"""Owns one TLS connection on one TCP transport: handshake, records, back-pressure, closing. Independent of MQTT.

The end of the peer's data, by close_notify, the end of the TCP stream or a reset, is delivered after all data that it
sent. Only an end by this side (`abort`, `close`) discards data that has arrived.

asyncio's own TLS does not send the alert with the reason of a failed handshake, and uses 256 KiB per connection. Here
OpenSSL uses two memory buffers: received bytes go in, its bytes to send come out, and no call blocks.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Hashable
from enum import Enum, auto
from typing import cast

from OpenSSL import SSL

from thingmint.core.error_text import in_words
from thingmint.host.connections.peer_tls import Peer
from thingmint.host.connections.proxy_header import CarriedAddresses
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.tls_records import OUTPUT_BYTES, RECORD_BYTES, TLSRecords
from thingmint.mqtt.transport.tls_roles import Owner, TLSProtocol
from thingmint.mqtt.transport.unread_bytes import UnreadBytes

_LOW_WATER_DIVISOR = 4

log = logging.getLogger(__name__)


class _State(Enum):
    HANDSHAKE = auto()
    OPEN = auto()
    # What still arrives is thrown away: a socket that is closed with unread bytes resets the connection.
    CLOSING = auto()
    LOST = auto()


class TLSTransport(asyncio.BufferedProtocol):
    """One connection: below it a TCP transport, above it a `TLSProtocol`."""

    __slots__ = (
        "_awaits_turn",
        "_carried",
        "_deadline",
        "_discarded",
        "_has_eof",
        "_is_held_back",
        "_limits",
        "_loop",
        "_lower",
        "_new_upper",
        "_owner",
        "_peer_is_done",
        "_read_buffer",
        "_reading_paused",
        "_records",
        "_state",
        "_told_end",
        "_unread",
        "_upper",
        "_writing_paused",
        "account",
        "address",
        "is_admitted",
        "sockets",
    )

    def __init__(
        self,
        context: SSL.Context,
        new_upper: Callable[[], TLSProtocol["TLSTransport"]],
        *,
        address: str,
        limits: GatewayLimits,
        owner: Owner["TLSTransport"],
        read_buffer: memoryview,
        loop: asyncio.AbstractEventLoop,
        carried: CarriedAddresses | None = None,
    ) -> None:
        self._records = TLSRecords(context)
        self._new_upper = new_upper
        self.address = address
        self._carried = carried
        self._limits = limits
        self._owner = owner
        self._read_buffer = read_buffer
        self._loop = loop
        self._lower: asyncio.Transport | None = None
        self._upper: TLSProtocol[TLSTransport] | None = None
        self.is_admitted = False
        self.account: Hashable = None
        """The account of an admitted device."""
        self.sockets = ((address, 0), ("", 0))
        """The addresses and ports of the peer and of this end, or those in a balancer's header."""
        self._state = _State.HANDSHAKE
        self._peer_is_done = False
        self._has_eof = False
        self._told_end = False
        self._unread: UnreadBytes | None = None
        self._discarded = 0
        self._reading_paused = False
        self._writing_paused = False
        # Whether received bytes wait for a turn, and whether reading is paused meanwhile.
        self._awaits_turn = False
        self._is_held_back = False
        self._deadline: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<TLSTransport from {self.address}, {self._state.name.lower()}>"

    # For the protocol above

    @property
    def is_established(self) -> bool:
        """Whether the handshake is done."""
        return self._state is not _State.HANDSHAKE

    def write(self, data: bytes | bytearray) -> None:
        """Send data, or nothing if the connection has ended; a peer that has far too much unread is disconnected."""
        lower, size = self._lower, len(data)
        if self._state is not _State.OPEN or lower is None or not size:
            return
        if lower.get_write_buffer_size() + size > self._limits.write_limit_bytes:
            log.debug("%r leaves too much unread", self)
            self.abort()
            return
        try:
            if size <= RECORD_BYTES:
                lower.write(self._records.sealed(data))
                return
            view = memoryview(data)
            while view:
                view = view[self._records.write(view) :]
                self._flush()
        except SSL.Error:
            self.abort()

    def pause_reading(self) -> None:
        """Deliver nothing more until `resume_reading`; TCP's flow control then stops the peer."""
        self._reading_paused = True
        self._arrange_reading()

    def resume_reading(self) -> None:
        """Deliver again, in the event loop's next turn at the earliest."""
        if self._reading_paused:
            self._reading_paused = False
            self._arrange_reading()
            # OpenSSL may still hold records that arrived before the pause.
            self._loop.call_soon(self._pump)

    def close(self) -> None:
        """Send written data and a close_notify, and close; a peer that does not read them in time is disconnected."""
        if self._state is _State.OPEN:
            # After a record that OpenSSL has refused it sends no close_notify: its alert said what there was to say.
            with contextlib.suppress(SSL.Error):
                self._records.send_close_notify()
        if self._state in (_State.OPEN, _State.HANDSHAKE):
            self._say_last_words()

    def abort(self) -> None:
        """Close at once; unsent bytes are lost."""
        if self._state is not _State.LOST:
            self._state = _State.CLOSING
            if self._lower is not None:
                self._lower.abort()
            elif self._peer_is_done:
                self._loop.call_soon(self._finish)

    # For the TCP transport below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        # uvloop's transports are none of asyncio's class.
        lower = self._lower = cast("asyncio.Transport", transport)
        if self._state is not _State.HANDSHAKE:
            lower.abort()
            return
        peer, own = (lower.get_extra_info(name) for name in ("peername", "sockname"))
        if self._carried is not None:
            self.sockets = self._carried.source, self._carried.destination
        elif peer is not None and own is not None:
            # The pairs of IPv4 as they are; those of IPv6 have two more members.
            self.sockets = peer[:2], own[:2]
        high = self._limits.write_high_bytes
        lower.set_write_buffer_limits(high=high, low=high // _LOW_WATER_DIVISOR)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer for one read."""
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Process the bytes that were read."""
        if self._told_end or self._state is _State.CLOSING:
            self._discarded += nbytes
            if self._discarded > self._limits.handshake_bytes:
                self.abort()
            return
        received = self._read_buffer[:nbytes]
        if self.is_admitted:
            self._records.take(received)
        else:
            self._owner.received(self)
            self._take(received)
        if self._awaits_turn:
            self._is_held_back = True
            self._arrange_reading()
        elif self._owner.has_time_for(self):
            self._pump()
        else:
            self._awaits_turn = True
            self._owner.in_turn(self, self._pump_in_turn)

    def eof_received(self) -> bool:
        """Deliver the data that has arrived, and keep the sending direction open for the answers."""
        if self._state is _State.CLOSING:
            return False
        self._has_eof = True
        self._note_peer_is_done()
        self._owner.later(self._pump)
        return True

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
        self._arrange_reading()
        if self._upper is not None:
            self._upper.resume_writing()
        self._loop.call_soon(self._pump)

    def connection_lost(self, exc: Exception | None) -> None:
        """Deliver data that had arrived before, unless this side has ended the connection; then end.

        Thousands of connections may end at once, so that all of this is done later, in time slices.
        """
        lower, self._lower = self._lower, None
        self._owner.stalled(self, None)
        if self._state is _State.CLOSING or lower is None:
            self._owner.later(self._finish)
            return
        if not self._peer_is_done:
            self._note_peer_is_done()
            # A failed write ends the transport before all is read that the kernel has.
            with contextlib.suppress(OSError):
                self._unread = UnreadBytes(lower.get_extra_info("socket").fileno())
        self._writing_paused = False
        self._owner.later(self._lose)

    # Between the two

    def _take(self, received: bytes | memoryview) -> None:
        self._records.take(received)
        if self._state is _State.HANDSHAKE and self._records.taken > self._limits.handshake_bytes:
            self.abort()

    def _pump_in_turn(self) -> None:
        self._awaits_turn = False
        if self._is_held_back:
            self._is_held_back = False
            self._arrange_reading()
        self._pump()

    def _lose(self) -> None:
        if self._upper is not None:
            self._upper.writing_lost()
        self._pump()

    def _pump(self) -> None:
        """Let OpenSSL process received bytes, send its answers, and report the end when nothing is left."""
        try:
            while self._state in (_State.HANDSHAKE, _State.OPEN) and not self._told_end:
                if not self._work_on_records():
                    return
        except SSL.Error as error:
            if not isinstance(error, SSL.ZeroReturnError):
                log.debug("%r: %s", self, in_words(error))
            if self._state is _State.HANDSHAKE:
                self._owner.failed(self, self._records.beginning)
            self._flush()
            self._note_peer_is_done()
            self._tell_end()

    def _work_on_records(self) -> bool:
        """Deliver complete records; return whether more have arrived when all of them were delivered."""
        records = self._records
        try:
            if self._state is _State.HANDSHAKE:
                self._establish(records.handshake())
            while self._may_deliver():
                assert self._upper is not None
                self._upper.data_received(records.read())
                if records.is_drained and self._may_deliver():
                    # To ask OpenSSL would be to have an exception made. A record with data has no answer of its own.
                    return self._has_read_on()
        except SSL.WantReadError:
            # Handshakes and key updates are answered by OpenSSL itself.
            self._flush()
            return self._has_read_on()
        return False

    def _may_deliver(self) -> bool:
        return self._state is _State.OPEN and not self._reading_paused and not self._writing_paused

    def _has_read_on(self) -> bool:
        if self._unread is not None and (received := self._unread.read(RECORD_BYTES)):
            self._take(received)
            return True
        if self._peer_is_done:
            self._tell_end()
        elif self._records.have_grown and self._state is _State.OPEN:
            # An idle connection should not keep them.
            self._records.shrink()
        return False

    def _note_peer_is_done(self) -> None:
        """Start the time limit for handling received data; the peer sends nothing more."""
        if not self._peer_is_done:
            self._peer_is_done = True
            self._abort_after(self._limits.drain_seconds)

    def _tell_end(self) -> None:
        """Notify the protocol, which closes when it is done; during a handshake there is no protocol to notify."""
        if self._upper is None:
            self._say_last_words()
        elif not self._told_end:
            self._told_end = True
            self._upper.eof_received()

    def _finish(self) -> None:
        """Notify the owner and the protocol of the end, once."""
        if self._state is _State.LOST:
            return
        self._state = _State.LOST
        if self._deadline is not None:
            self._deadline.cancel()
        if self._unread is not None:
            self._unread.close()
            self._unread = None
        self._owner.lost(self)
        # OpenSSL's share is large: it should not wait for the garbage collector, should a cycle hold this object.
        del self._records
        upper, self._upper = self._upper, None
        if upper is not None:
            upper.connection_lost()

    def _establish(self, peer: Peer) -> None:
        self._state = _State.OPEN
        self._flush()
        self._upper = self._new_upper()
        self._owner.established(self)
        self._upper.established(self, peer)

    def _flush(self) -> None:
        while self._lower is not None and (output := self._records.output()):
            self._lower.write(output)
            if len(output) < OUTPUT_BYTES:
                return

    def _say_last_words(self) -> None:
        """Send OpenSSL's alert, then wait a short time until the peer has read it and closed."""
        self._flush()
        self._state = _State.CLOSING
        if self._lower is None:
            self._loop.call_soon(self._finish)
            return
        self._abort_after(self._limits.close_seconds)
        if self._has_eof:
            self._lower.close()
        elif not self._lower.is_closing():
            self._lower.resume_reading()
            try:
                self._lower.write_eof()
            except OSError:
                # The peer has reset the connection, and the loop is yet to notice.
                self._lower.abort()

    def _abort_after(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(seconds, self.abort)

    def _arrange_reading(self) -> None:
        if self._lower is None or self._lower.is_closing() or self._state is _State.CLOSING or self._has_eof:
            return
        if self._reading_paused or self._writing_paused or self._is_held_back:
            self._lower.pause_reading()
        else:
            self._lower.resume_reading()
