"""Owns OpenSSL's side of one TLS connection, on two memory buffers; knows no sockets and no order of events."""

from typing import Final

from OpenSSL import SSL

from thingmint.mqtt.transport.tls import Peer, peer_of

# A record carries at most 16 KiB. OpenSSL's memory buffers grow to what they once held, so they get no more than that.
RECORD_BYTES: Final = 16 * 1024
_OUTPUT_BYTES: Final = 64 * 1024


def new_read_buffer() -> memoryview:
    """Return a buffer that all connections of one event loop may share: none holds it beyond a call."""
    return memoryview(bytearray(RECORD_BYTES))


class TLSRecords:
    """What arrives goes in, what OpenSSL wants to send comes out, and nothing waits."""

    __slots__ = ("_ssl", "beginning", "taken")

    def __init__(self, context: SSL.Context) -> None:
        self._ssl = SSL.Connection(context, None)
        self._ssl.set_accept_state()
        self.taken = 0
        """How many bytes have arrived."""
        self.beginning = b""
        """The first of them."""

    def take(self, received: bytes | memoryview) -> None:
        """Keep what has arrived until it is read."""
        self.taken += len(received)
        self.beginning = self.beginning or bytes(received[:1])
        self._ssl.bio_write(received)

    def shake_hands(self) -> Peer:
        """Return who the peer is; raise SSL.WantReadError while the handshake goes on, SSL.Error if it has failed."""
        self._ssl.do_handshake()
        return peer_of(self._ssl)

    def read(self) -> bytes:
        """Return what the next record carries.

        Raises SSL.WantReadError if none is whole, SSL.ZeroReturnError behind a close_notify, or another SSL.Error.
        """
        return self._ssl.recv(RECORD_BYTES)

    def write(self, data: memoryview) -> int:
        """Put as much as one record takes into the output, and return how much that was; raise SSL.Error."""
        return self._ssl.send(data[:RECORD_BYTES])

    def say_goodbye(self) -> None:
        """Put a close_notify into the output; raise SSL.Error where an alert was sent or no handshake was done."""
        self._ssl.shutdown()

    def output(self) -> bytes:
        """Return the next bytes that are to be sent; none if there are none."""
        try:
            return self._ssl.bio_read(_OUTPUT_BYTES)
        except SSL.WantReadError:
            return b""
