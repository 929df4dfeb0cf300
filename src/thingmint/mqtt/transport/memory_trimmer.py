"""Owns the return of memory to the system after many connections have ended.

The C library keeps freed memory for reuse. With glibc, ``malloc_trim`` returns it; with others nothing is done.
"""

import ctypes
from collections.abc import Callable
from typing import Final

# It is worth some milliseconds of a thread when so many connections have ended, and that is a quarter of them.
_MANY: Final = 200
_PART: Final = 4
# Others may be about to end, and those that come back at once use the memory again.
_QUIET_SECONDS: Final = 5


def glibc_trim() -> Callable[[int], int] | None:
    """Return glibc's ``malloc_trim``; None if the C library has none."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim


class MemoryTrimmer:
    """Gets the number of open connections each second, and returns memory once after many have ended."""

    def __init__(self, give_back: Callable[[], object]) -> None:
        self._give_back = give_back
        self._most = 0
        self._last = 0
        self._quiet_for = 0

    def observe(self, connections: int) -> None:
        """Record the number; return memory if the number has been far below its maximum for some seconds."""
        self._quiet_for = self._quiet_for + 1 if connections == self._last else 0
        self._last = connections
        self._most = max(self._most, connections)
        gone = self._most - connections
        if gone >= max(_MANY, self._most // _PART) and self._quiet_for >= _QUIET_SECONDS:
            self._most = connections
            self._give_back()
