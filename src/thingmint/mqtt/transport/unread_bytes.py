"""Owns what the kernel still holds of a TCP connection that was reset or has failed: the bytes that had arrived before.

A write that fails ends asyncio's transport, and with it the reading. What the peer sent before is still in the socket's
receive queue, in order, and nothing is added to it any more: each read returns at once.
"""

import os


class UnreadBytes:
    """A descriptor of its own for a socket whose transport has ended; must be closed."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        """Take the bytes over from a socket that is about to be closed; raise OSError if that cannot be done."""
        self._descriptor = os.dup(descriptor)

    def read(self, size: int) -> bytes:
        """Return the next bytes; none at the end."""
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
        """Let go of the descriptor; the kernel forgets what was not read."""
        os.close(self._descriptor)

    def _read_behind_the_error(self, size: int) -> bytes:
        try:
            return os.read(self._descriptor, size)
        except OSError:
            return b""
