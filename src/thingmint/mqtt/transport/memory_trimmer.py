"""Owns the return of memory to the system after many connections have ended.

The C library keeps freed memory for later. Where it is glibc, ``malloc_trim`` gives it back; elsewhere nothing is done.
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
    """Return glibc's ``malloc_trim``; None where the C library has none."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim


class MemoryTrimmer:
    """Is told each second how many connections are open, and has memory given back once after a mass departure."""

    def __init__(self, give_back: Callable[[], object]) -> None:
        self._give_back = give_back
        self._most = 0
        self._last = 0
        self._quiet_for = 0

    def observe(self, connections: int) -> None:
        """Note the number, and give memory back if it has stayed far below the highest one for some seconds."""
        self._quiet_for = self._quiet_for + 1 if connections == self._last else 0
        self._last = connections
        self._most = max(self._most, connections)
        gone = self._most - connections
        if gone >= max(_MANY, self._most // _PART) and self._quiet_for >= _QUIET_SECONDS:
            self._most = connections
            self._give_back()
