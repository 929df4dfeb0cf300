"""Owns the unread bytes in the kernel of a TCP connection that was reset or has failed.

A failed write ends asyncio's transport, including its reading. Bytes that the peer sent before are still in the
socket's receive queue, in order. No more bytes are added, so each read returns at once.
"""

import os


class UnreadBytes:
    """A duplicate descriptor of a socket whose transport has ended; it must be closed."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        """Duplicate the descriptor of a socket that is about to be closed; raise OSError if that fails."""
        self._descriptor = os.dup(descriptor)

    def read(self, size: int) -> bytes:
        """Return the next bytes; empty at the end."""
        try:
            return os.read(self._descriptor, size)
        except BlockingIOError:
            return b""
        except ConnectionError:
            # Linux reports the reset once, and keeps what had arrived before it.
            return self._read_behind_the_error(size)
        except OSError:
            return b""

    def close(self) -> None:
        """Close the descriptor; the kernel discards unread bytes."""
        os.close(self._descriptor)

    def _read_behind_the_error(self, size: int) -> bytes:
        try:
            return os.read(self._descriptor, size)
        except OSError:
            return b""
