"""Owns OpenSSL's side of one TLS connection, on two memory buffers; knows no sockets and no order of events."""

from typing import Final

from OpenSSL import SSL

from thingmint.host.peer_tls import Peer, peer_of

# A record carries at most 16 KiB. OpenSSL's memory buffers grow to what they once held, so they get no more than that.
RECORD_BYTES: Final = 16 * 1024
OUTPUT_BYTES: Final = 64 * 1024
_HEAD_BYTES: Final = 5


def new_read_buffer() -> memoryview:
    """Return a buffer that all connections of one event loop may share: none holds it beyond a call."""
    return memoryview(bytearray(RECORD_BYTES))


class TLSRecords:
    """What arrives goes in, what OpenSSL wants to send comes out, and nothing waits."""

    __slots__ = ("_holds_one", "_owed", "_ssl", "beginning", "is_drained", "taken")

    def __init__(self, context: SSL.Context) -> None:
        self._ssl = SSL.Connection(context, None)
        self._ssl.set_accept_state()
        # How many bytes of the last record have not come yet; None where a record's head came in two pieces.
        self._owed: int | None = 0
        self._holds_one = False
        self.is_drained = True
        """Whether nothing that has arrived is left to be read. False where that is not known."""
        self.taken = 0
        """How many bytes have arrived."""
        self.beginning = b""
        """The first of them."""

    def take(self, received: bytes | memoryview) -> None:
        """Keep what has arrived until it is read."""
        self.taken += len(received)
        self.beginning = self.beginning or bytes(received[:1])
        was_drained = self.is_drained and not self._owed
        records = self._follow(received)
        self._holds_one = was_drained and records == 1 and not self._owed
        self.is_drained = False
        self._ssl.bio_write(received)

    def shake_hands(self) -> Peer:
        """Return who the peer is; raise SSL.WantReadError while the handshake goes on, SSL.Error if it has failed."""
        self._ssl.do_handshake()
        return peer_of(self._ssl)

    def read(self) -> bytes:
        """Return what the next record carries.

        Raises SSL.WantReadError if none is whole, SSL.ZeroReturnError behind a close_notify, or another SSL.Error.
        """
        try:
            data = self._ssl.recv(RECORD_BYTES)
        except SSL.WantReadError:
            self.is_drained = self._owed == 0
            raise
        self.is_drained, self._holds_one = self._holds_one, False
        return data

    def write(self, data: memoryview) -> int:
        """Put as much as one record takes into the output, and return how much that was; raise SSL.Error."""
        return self._ssl.send(data[:RECORD_BYTES])

    def say_goodbye(self) -> None:
        """Put a close_notify into the output; raise SSL.Error where an alert was sent or no handshake was done."""
        self._ssl.shutdown()

    def _follow(self, received: bytes | memoryview) -> int:
        """Return how many records begin in what was received (RFC 8446, 5.1: five bytes, the last two its length)."""
        if self._owed is None:
            return 0
        size, offset, count = len(received), self._owed, 0
        while offset + _HEAD_BYTES <= size:
            offset += _HEAD_BYTES + (received[offset + 3] << 8 | received[offset + 4])
            count += 1
        self._owed = offset - size if offset >= size else None
        return count

    def output(self) -> bytes:
        """Return the next bytes that are to be sent; none if there are none.

        Fewer than ``OUTPUT_BYTES`` are all that there are: to ask OpenSSL for more is to have an exception made.
        """
        try:
            return self._ssl.bio_read(OUTPUT_BYTES)
        except SSL.WantReadError:
            return b""
