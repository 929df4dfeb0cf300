"""Owns one TLS connection on one TCP transport: handshake, records, back-pressure, closing. Independent of MQTT.

The end of the peer's data, by close_notify, the end of the TCP stream or a reset, is delivered after all data that it
sent. Only an end by this side (`abort`, `close`) discards data that has arrived.

asyncio's own TLS does not send the alert with the reason of a failed handshake, and uses 256 KiB per connection. Here
OpenSSL uses two memory buffers: received bytes go in, its bytes to send come out, and no call blocks.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from OpenSSL import SSL

from thingmint.core.error_text import in_words
from thingmint.host.connections.peer_tls import Peer
from thingmint.host.connections.proxy_header import CarriedAddresses
from thingmint.mqtt.transport.device_transport import ConnectionState, DeviceTransport, Owner
from thingmint.mqtt.transport.limits import GatewayLimits
from thingmint.mqtt.transport.stream_protocol import StreamProtocol
from thingmint.mqtt.transport.tls_records import OUTPUT_BYTES, RECORD_BYTES, TLSRecords
from thingmint.mqtt.transport.unread_bytes import UnreadBytes

log = logging.getLogger(__name__)


class TLSProtocol(StreamProtocol, Protocol):
    """The protocol on a TLS connection. If it never begins, no method is called."""

    def established(self, transport: "TLSTransport", peer: Peer) -> None:
        """Begin: the handshake is done, and the peer holds the key of the certificate it showed."""
        ...


class TLSTransport(DeviceTransport, asyncio.BufferedProtocol):
    """One connection: below it a TCP transport, above it a `TLSProtocol`."""

    __slots__ = (
        "_awaits_turn",
        "_carried",
        "_has_eof",
        "_is_held_back",
        "_new_upper",
        "_read_buffer",
        "_records",
        "_unread",
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
        carried: CarriedAddresses | None = None,
    ) -> None:
        # The ports are not known before the connection is made.
        sockets = ((address, 0), ("", 0))
        super().__init__(
            address=address, sockets=sockets, limits=limits, owner=owner, loop=loop, state=ConnectionState.HANDSHAKE
        )
        self._records = TLSRecords(context)
        self._new_upper = new_upper
        self._carried = carried
        self._read_buffer = read_buffer
        self._has_eof = False
        self._unread: UnreadBytes | None = None
        # Whether received bytes wait for a turn, and whether reading is paused meanwhile.
        self._awaits_turn = False
        self._is_held_back = False

    # For the protocol above

    def write(self, data: bytes | bytearray) -> None:
        """Send data, or nothing if the connection has ended; a peer that has far too much unread is disconnected."""
        lower, size = self._lower, len(data)
        if self._state is not ConnectionState.OPEN or lower is None or not size:
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

    def close(self) -> None:
        """Send written data and a close_notify, and close; a peer that does not read them in time is disconnected."""
        if self._state is ConnectionState.OPEN:
            # After a record that OpenSSL has refused it sends no close_notify: its alert said what there was to say.
            with contextlib.suppress(SSL.Error):
                self._records.send_close_notify()
        if self._state in (ConnectionState.OPEN, ConnectionState.HANDSHAKE):
            self._say_last_words()

    # For the TCP transport below

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        lower = self._attach(transport)
        if self._state is not ConnectionState.HANDSHAKE:
            lower.abort()
            return
        peer, own = (lower.get_extra_info(name) for name in ("peername", "sockname"))
        if self._carried is not None:
            self.sockets = self._carried.source, self._carried.destination
        elif peer is not None and own is not None:
            # The pairs of IPv4 as they are; those of IPv6 have two more members.
            self.sockets = peer[:2], own[:2]

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the shared buffer for one read."""
        return self._read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Process the bytes that were read."""
        if self._told_end or self._state is ConnectionState.CLOSING:
            self._has_discarded(nbytes)
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
        if self._state is ConnectionState.CLOSING:
            return False
        self._has_eof = True
        self._note_peer_is_done()
        self._owner.later(self._pump)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep what the kernel still has: a failed write ends the transport before all of it is read. Then end."""
        if self._lower is not None and self._state is not ConnectionState.CLOSING and not self._peer_is_done:
            with contextlib.suppress(OSError):
                self._unread = UnreadBytes(self._lower.get_extra_info("socket").fileno())
        super().connection_lost(exc)

    # Between the two

    def _take(self, received: bytes | memoryview) -> None:
        self._records.take(received)
        if self._state is ConnectionState.HANDSHAKE and self._records.taken > self._limits.handshake_bytes:
            self.abort()

    def _pump_in_turn(self) -> None:
        self._awaits_turn = False
        if self._is_held_back:
            self._is_held_back = False
            self._arrange_reading()
        self._pump()

    def _deliver_soon(self) -> None:
        self._arrange_reading()
        # OpenSSL may still hold records that arrived before the pause.
        self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Let OpenSSL process received bytes, send its answers, and report the end when nothing is left."""
        try:
            while self._state in (ConnectionState.HANDSHAKE, ConnectionState.OPEN) and not self._told_end:
                if not self._work_on_records():
                    return
        except SSL.Error as error:
            if not isinstance(error, SSL.ZeroReturnError):
                log.debug("%r: %s", self, in_words(error))
            if self._state is ConnectionState.HANDSHAKE:
                self._owner.failed(self, self._records.beginning)
            self._flush()
            self._note_peer_is_done()
            self._tell_end()

    def _work_on_records(self) -> bool:
        """Deliver complete records; return whether more have arrived when all of them were delivered."""
        records = self._records
        try:
            if self._state is ConnectionState.HANDSHAKE:
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

    def _has_read_on(self) -> bool:
        if self._unread is not None and (received := self._unread.read(RECORD_BYTES)):
            self._take(received)
            return True
        if self._peer_is_done:
            self._tell_end()
        elif self._records.have_grown and self._state is ConnectionState.OPEN:
            # An idle connection should not keep them.
            self._records.shrink()
        return False

    def _tell_end(self) -> None:
        """Notify the protocol, which closes when it is done; during a handshake there is no protocol to notify."""
        if self._upper is None:
            self._say_last_words()
        elif not self._told_end:
            self._told_end = True
            self._upper.eof_received()

    def _release(self) -> None:
        if self._unread is not None:
            self._unread.close()
            self._unread = None
        # OpenSSL's share is large: it should not wait for the garbage collector, should a cycle hold this object.
        del self._records

    def _establish(self, peer: Peer) -> None:
        self._state = ConnectionState.OPEN
        self._flush()
        upper = self._upper = self._new_upper()
        self._owner.established(self)
        upper.established(self, peer)

    def _flush(self) -> None:
        while self._lower is not None and (output := self._records.output()):
            self._lower.write(output)
            if len(output) < OUTPUT_BYTES:
                return

    def _say_last_words(self) -> None:
        """Send OpenSSL's alert and close."""
        self._flush()
        self._wait_for_close()

    def _await_close(self, lower: asyncio.Transport) -> None:
        if self._has_eof:
            lower.close()
        elif not lower.is_closing():
            # A socket that is closed with unread bytes would reset the connection.
            lower.resume_reading()
            try:
                lower.write_eof()
            except OSError:
                # The peer has reset the connection, and the loop is yet to notice.
                lower.abort()

    def _arrange_reading(self) -> None:
        if self._lower is None or self._lower.is_closing() or self._state is ConnectionState.CLOSING or self._has_eof:
            return
        if self._reading_paused or self._writing_paused or self._is_held_back:
            self._lower.pause_reading()
        else:
            self._lower.resume_reading()
