"""Owns TLS for HTTP clients that may show a certificate of any issuer. Does not verify issuers; opens no sockets.

The event loop's TLS implementation reads, writes and closes. It asks a context of `ssl` for an object that encrypts and
decrypts records. Here this object is pyOpenSSL's, because `ssl` does not admit certificates of unknown issuers.
"""

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, Self, TypeVar

from OpenSSL import SSL

from thingmint.host.connections.peer_tls import Peer, peer_of

T = TypeVar("T")

_READ_OCTETS = 16 * 1024
_OUTGOING_OCTETS = 64 * 1024


class AnyClientContext(ssl.SSLContext):
    """A server-side context for the event loop, which makes its connections from a context of pyOpenSSL."""

    _context: SSL.Context

    def __new__(cls, context: SSL.Context) -> Self:
        """Return a context that makes its connections from the given context of pyOpenSSL."""
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made._context = context
        return made

    def wrap_bio(  # type: ignore[override]  # the loop calls it so, and takes any object that behaves like ssl's
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = True,
        server_hostname: str | None = None,
        session: object = None,
    ) -> "AnyClientConnection":
        """Return a connection that reads and writes records in these buffers."""
        del server_hostname, session
        assert server_side, "clients have other contexts"
        return AnyClientConnection(self, SSL.Connection(self._context, None), incoming, outgoing)


class AnyClientConnection:
    """Implements the methods of `ssl.SSLObject` that the loop calls, and raises the same errors."""

    def __init__(
        self, context: AnyClientContext, connection: SSL.Connection, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO
    ) -> None:
        self.context = context
        self._connection = connection
        self._incoming = incoming
        self._outgoing = outgoing
        self._has_closed = False
        connection.set_accept_state()

    @property
    def peer(self) -> Peer:
        """The peer's certificates and the server name, after the handshake."""
        return peer_of(self._connection)

    def do_handshake(self) -> None:
        """Continue the handshake; raise ssl.SSLWantReadError until it is done."""
        self._exchange(self._connection.do_handshake)

    def read(self, octets: int = _READ_OCTETS, buffer: Any = None) -> bytes | int:
        """Return bytes, or fill the buffer and return how many; raise ssl.SSLWantReadError if there are none yet."""
        if buffer is None:
            return self._exchange(lambda: self._connection.recv(octets))
        return self._exchange(lambda: self._connection.recv_into(buffer, octets))

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Write, and return how many bytes were accepted."""
        return self._exchange(lambda: self._connection.send(bytes(data[:_READ_OCTETS])))

    def unwrap(self) -> None:
        """Send close_notify; raise ssl.SSLWantReadError until the peer has sent its own."""

        def close() -> None:
            if not self._connection.shutdown() and not self._has_closed:
                self._has_closed = True
                raise SSL.WantReadError

        self._exchange(close)

    def pending(self) -> int:
        """Return a lower bound of the bytes that `read` can return before it raises ssl.SSLWantReadError.

        uvloop stops reading at zero. Records that have arrived count, too. The end or a fault of the connection also
        counts, because `read` must report it.
        """
        try:
            self._connection.recv(1, socket.MSG_PEEK)
        except SSL.WantReadError:
            return 0
        except SSL.Error:
            return 1
        return self._connection.pending()

    def getpeercert(self, binary_form: bool = False) -> None:
        """Return None; the certificate is in `peer`."""
        del binary_form

    def cipher(self) -> tuple[str, str, int] | None:
        """Return name, protocol and bits of the cipher; None before the handshake."""
        name, version = self._connection.get_cipher_name(), self._connection.get_cipher_version()
        bits = self._connection.get_cipher_bits()
        return None if name is None or version is None or bits is None else (name, version, bits)

    def compression(self) -> None:
        """Return None, because compression is not used."""

    def _exchange(self, step: Callable[[], T]) -> T:
        """Pass received records to OpenSSL, run ``step``, and pass outgoing records to the loop, even if it fails."""
        try:
            if self._incoming.pending:
                self._connection.bio_write(self._incoming.read())
            elif self._incoming.eof:
                self._connection.bio_shutdown()
            return step()
        except SSL.WantReadError as error:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "more records are needed") from error
        except SSL.ZeroReturnError as error:
            raise ssl.SSLZeroReturnError(ssl.SSL_ERROR_ZERO_RETURN, "the peer has closed the connection") from error
        except SSL.SysCallError as error:
            raise ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "the connection ended inside of TLS") from error
        except SSL.Error as error:
            raise ssl.SSLError(ssl.SSL_ERROR_SSL, "the peer broke the protocol of TLS") from error
        finally:
            with contextlib.suppress(SSL.WantReadError):
                while True:
                    self._outgoing.write(self._connection.bio_read(_OUTGOING_OCTETS))
