"""Owns OpenSSL's state of one TLS connection, with two memory buffers. Uses no sockets."""

from typing import Final

from OpenSSL import SSL

from thingmint.host.peer_tls import Peer, peer_of

# A record carries at most 16 KiB. OpenSSL's memory buffers grow to what they once held, so they get no more than that.
RECORD_BYTES: Final = 16 * 1024
OUTPUT_BYTES: Final = 64 * 1024
_HEAD_BYTES: Final = 5


def new_read_buffer() -> memoryview:
    """Return a buffer that all connections of one event loop may share, because none uses it after a call."""
    return memoryview(bytearray(RECORD_BYTES))


class TLSRecords:
    """Received bytes go in, and OpenSSL's bytes to send come out; no call blocks."""

    __slots__ = ("_holds_one", "_owed", "_ssl", "beginning", "is_drained", "taken")

    def __init__(self, context: SSL.Context) -> None:
        self._ssl = SSL.Connection(context, None)
        self._ssl.set_accept_state()
        # How many bytes of the last record have not come yet; None where a record's head came in two pieces.
        self._owed: int | None = 0
        self._holds_one = False
        self.is_drained = True
        """Whether all received bytes have been read; False if that is not known."""
        self.taken = 0
        """How many bytes were received."""
        self.beginning = b""
        """The first received bytes."""

    def take(self, received: bytes | memoryview) -> None:
        """Keep received bytes until they are read."""
        self.taken += len(received)
        self.beginning = self.beginning or bytes(received[:1])
        was_drained = self.is_drained and not self._owed
        records = self._follow(received)
        self._holds_one = was_drained and records == 1 and not self._owed
        self.is_drained = False
        self._ssl.bio_write(received)

    def handshake(self) -> Peer:
        """Return the peer; raise SSL.WantReadError while the handshake continues, SSL.Error if it has failed."""
        self._ssl.do_handshake()
        return peer_of(self._ssl)

    def read(self) -> bytes:
        """Return the data of the next record.

        Raises SSL.WantReadError if no record is complete, SSL.ZeroReturnError after close_notify, or another SSL.Error.
        """
        try:
            data = self._ssl.recv(RECORD_BYTES)
        except SSL.WantReadError:
            self.is_drained = self._owed == 0
            raise
        self.is_drained, self._holds_one = self._holds_one, False
        return data

    def write(self, data: memoryview) -> int:
        """Encrypt at most one record's data into the output, and return how many bytes it took; raise SSL.Error."""
        return self._ssl.send(data[:RECORD_BYTES])

    def send_close_notify(self) -> None:
        """Put a close_notify into the output; raise SSL.Error after an alert or before the end of the handshake."""
        self._ssl.shutdown()

    def _follow(self, received: bytes | memoryview) -> int:
        """Return how many records begin in the bytes (RFC 8446, 5.1: a head of five bytes, the last two its length)."""
        if self._owed is None:
            return 0
        size, offset, count = len(received), self._owed, 0
        while offset + _HEAD_BYTES <= size:
            offset += _HEAD_BYTES + (received[offset + 3] << 8 | received[offset + 4])
            count += 1
        self._owed = offset - size if offset >= size else None
        return count

    def output(self) -> bytes:
        """Return the next bytes to send; empty if there are none.

        Fewer than ``OUTPUT_BYTES`` bytes are the rest. Do not call again then, because OpenSSL would raise an
        exception.
        """
        try:
            return self._ssl.bio_read(OUTPUT_BYTES)
        except SSL.WantReadError:
            return b""
