"""Owns OpenSSL's state of one TLS connection, with two memory buffers. Uses no sockets."""

from typing import Final

from OpenSSL import SSL

from thingmint.host.connections.peer_tls import Peer, peer_of
from thingmint.mqtt.transport.memory_connection import MemoryConnection

# A record carries at most 16 KiB. OpenSSL's memory buffers grow to what they once held, so they get no more than that,
# and are replaced afterwards.
RECORD_BYTES: Final = 16 * 1024
OUTPUT_BYTES: Final = 64 * 1024
_HEAD_BYTES: Final = 5
# More than a record adds to its data: head, explicit nonce or padding, authentication tag.
_OVERHEAD_BYTES: Final = 512
# Buffers that held more than this at once are replaced. Smaller ones are cheaper to keep.
_LARGE_BYTES: Final = 4 * 1024


def new_read_buffer() -> memoryview:
    """Return a buffer that all connections of one event loop may share, because none uses it after a call."""
    return memoryview(bytearray(RECORD_BYTES))


class TLSRecords:
    """Received bytes go in, and OpenSSL's bytes to send come out; no call blocks."""

    __slots__ = ("_owed", "_single", "_ssl", "beginning", "have_grown", "is_drained", "taken")

    def __init__(self, context: SSL.Context) -> None:
        self._ssl = MemoryConnection(context)
        self._ssl.set_accept_state()
        # How many bytes of the last record have not come yet; None where a record's head came in two pieces.
        self._owed: int | None = 0
        # The length of the received record, if there is one and nothing else; otherwise 0.
        self._single = 0
        self.is_drained = True
        """Whether all received bytes have been read; False if that is not known."""
        self.taken = 0
        """How many bytes were received."""
        self.beginning = b""
        """The first received bytes."""
        self.have_grown = True
        """Whether the buffers have held many bytes at once, as in each handshake."""

    def take(self, received: bytes | memoryview) -> None:
        """Keep received bytes until they are read."""
        size = len(received)
        self.taken += size
        if not self.beginning:
            self.beginning = bytes(received[:1])
        was_drained = self.is_drained and not self._owed
        # RFC 8446, 5.1: a head of five bytes, the last two the length.
        if was_drained and size > _HEAD_BYTES and _HEAD_BYTES + (received[3] << 8 | received[4]) == size:
            self._owed, self._single = 0, size
        else:
            self._single = 0
            self._follow(received)
        self.is_drained = False
        if size > _LARGE_BYTES:
            self.have_grown = True
        self._ssl.put(received)

    def handshake(self) -> Peer:
        """Return the peer; raise SSL.WantReadError while the handshake continues, SSL.Error if it has failed."""
        self._ssl.do_handshake()
        return peer_of(self._ssl)

    def read(self) -> bytes:
        """Return the data of the next record.

        Raises SSL.WantReadError if no record is complete, SSL.ZeroReturnError after close_notify, or another SSL.Error.
        """
        # A record is longer than its data.
        single, self._single = self._single, 0
        try:
            data = self._ssl.next_data(single or RECORD_BYTES)
        except SSL.WantReadError:
            self.is_drained = self._owed == 0
            raise
        self.is_drained = single > 0
        return data

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Encrypt at most one record's data into the output, and return how many bytes it took; raise SSL.Error."""
        return self._ssl.encrypt(data if len(data) <= RECORD_BYTES else data[:RECORD_BYTES])

    def send_close_notify(self) -> None:
        """Put a close_notify into the output; raise SSL.Error after an alert or before the end of the handshake."""
        self._ssl.shutdown()

    def _follow(self, received: bytes | memoryview) -> None:
        """Find out how many bytes of the last record are missing."""
        if self._owed is None:
            return
        size, offset = len(received), self._owed
        while offset + _HEAD_BYTES <= size:
            offset += _HEAD_BYTES + (received[offset + 3] << 8 | received[offset + 4])
        self._owed = offset - size if offset >= size else None

    def output(self) -> bytes:
        """Return the next bytes to send; empty if there are none.

        Fewer than ``OUTPUT_BYTES`` bytes are the rest. Do not call again then, because OpenSSL would raise an
        exception.
        """
        found = self._ssl.output(OUTPUT_BYTES)
        if len(found) > _LARGE_BYTES:
            self.have_grown = True
        return found

    def sealed(self, data: bytes | bytearray) -> bytes:
        """Encrypt at most one record's data, and return the record and any other output; raise SSL.Error."""
        size = len(data) + _OVERHEAD_BYTES
        if size > _LARGE_BYTES:
            self.have_grown = True
        self._ssl.encrypt(data)
        found = self._ssl.output(size)
        return found if len(found) < size else found + self.output()

    def shrink(self) -> bool:
        """Release the memory of the buffers, which must have no output; return False if there are unread bytes."""
        if not self.is_drained:
            return False
        self.have_grown = False
        self._ssl.renew_buffers()
        return True
