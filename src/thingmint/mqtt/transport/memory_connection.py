"""Owns the calls of OpenSSL for each record of a connection on memory buffers, and the release of these buffers.

pyOpenSSL's methods copy through buffers of the largest size, and check and call more than a connection needs that has
no socket. So the functions that they call are called directly here. A memory buffer of OpenSSL also keeps the size of
the most bytes that it ever held: kilobytes after a handshake, and up to 22 KiB after large messages, in each direction.
Only a new buffer is small again, and pyOpenSSL has no function for that.

Both use attributes that pyOpenSSL does not document. If another version of it has others, its methods are used, and
buffers keep their size.
"""

from typing import Any, Final

from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL

_FUNCTIONS: Final = (
    "BIO_free",
    "BIO_new",
    "BIO_read",
    "BIO_s_mem",
    "BIO_write",
    "SSL_read",
    "SSL_set_bio",
    "SSL_write",
)
_ATTRIBUTES: Final = frozenset({"_ssl", "_into_ssl", "_from_ssl"})

_library: Final[Any] = Binding.lib
_foreign: Final[Any] = Binding.ffi
# The memory is overwritten before it is read.
_unset: Final[Any] = Binding.ffi.new_allocator(should_clear_after_alloc=False)


class MemoryConnection(SSL.Connection):
    """A TLS connection on memory buffers: bytes go in and come out, and no call blocks."""

    def __init__(self, context: SSL.Context) -> None:
        super().__init__(context, None)
        self.is_direct = vars(self).keys() >= _ATTRIBUTES and all(hasattr(_library, name) for name in _FUNCTIONS)
        """Whether the attributes and functions exist that pyOpenSSL does not document."""

    def put(self, received: bytes | memoryview) -> None:
        """Keep received bytes, at least one, for OpenSSL."""
        if self.is_direct:
            into = _foreign.from_buffer(received)
            if _library.BIO_write(self._into_ssl, into, len(received)) == len(received):
                return
        self.bio_write(received)

    def output(self, size: int) -> bytes:
        """Return up to ``size`` bytes to send; empty if there are none."""
        if self.is_direct:
            buffer = _unset("char[]", size)
            count = _library.BIO_read(self._from_ssl, buffer, size)
            return bytes(_foreign.buffer(buffer, count)) if count > 0 else b""
        try:
            return self.bio_read(size)
        except SSL.WantReadError:
            return b""

    def next_data(self, size: int) -> bytes:
        """Return up to ``size`` bytes of the next record's data; raise SSL.Error as `recv` does."""
        if not self.is_direct:
            return self.recv(size)
        buffer = _unset("char[]", size)
        count = _library.SSL_read(self._ssl, buffer, size)
        if count <= 0:
            self._raise_ssl_error(self._ssl, count)
        return bytes(_foreign.buffer(buffer, count))

    def encrypt(self, data: bytes | bytearray | memoryview) -> int:
        """Encrypt data of one record into the output, and return how many bytes it took; raise SSL.Error."""
        if not self.is_direct:
            return self.send(data)
        count = _library.SSL_write(self._ssl, _foreign.from_buffer(data), len(data))
        if count <= 0:
            self._raise_ssl_error(self._ssl, count)
        return int(count)

    def renew_buffers(self) -> None:
        """Use new buffers, if that is possible. The old ones must be empty, and the handshake over."""
        if not self.is_direct:
            return
        into, out_of = (_library.BIO_new(_library.BIO_s_mem()) for _ in range(2))
        if not into or not out_of:
            # Without memory for them, the old ones stay. BIO_free accepts a null pointer.
            _library.BIO_free(into)
            _library.BIO_free(out_of)
            return
        # OpenSSL frees the old ones.
        _library.SSL_set_bio(self._ssl, into, out_of)
        self._into_ssl, self._from_ssl = into, out_of
