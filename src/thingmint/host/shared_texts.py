"""Owns texts that processes with a common parent exchange in shared memory. Independent of the texts' format.

The parent allocates the memory before it starts the others. Each process writes its own text and reads the texts of the
others at any time, without a lock: a text has two slots, and a checksum detects a slot that is being written.
"""

import mmap
import zlib
from collections.abc import Iterator
from struct import Struct

_HEADER = Struct("@QQ")
"""Checksum and length of a text; length zero means no text."""
_WHICH = Struct("@Q")
_MOST_BYTES = 4 * 1024 * 1024
_READS = 3


class SharedTexts:
    """One text for each number from 1 to the count; the system allocates a page of memory when it is first written."""

    def __init__(self, count: int, most_bytes: int = _MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._slot = _HEADER.size + most_bytes
        self._places = [mmap.mmap(-1, _WHICH.size + 2 * self._slot) for _ in range(count)]

    def write(self, number: int, text: bytes) -> bool:
        """Replace the text of the calling process, whose number this is; return False if it is too long."""
        if len(text) > self._most_bytes:
            return False
        place = self._places[number - 1]
        (which,) = _WHICH.unpack_from(place)
        other = 1 - which % 2
        start = self._start(other)
        place[start + _HEADER.size : start + _HEADER.size + len(text)] = text
        _HEADER.pack_into(place, start, zlib.crc32(text), len(text))
        _WHICH.pack_into(place, 0, other)
        return True

    def clear(self, number: int) -> None:
        """Forget the text of a process that has ended."""
        for which in (0, 1):
            _HEADER.pack_into(self._places[number - 1], self._start(which), 0, 0)

    def others(self, number: int) -> Iterator[tuple[int, bytes]]:
        """Yield number and text of each other process; processes without a text are left out."""
        for each in range(1, len(self._places) + 1):
            text = b"" if each == number else self._read(self._places[each - 1])
            if text:
                yield each, text

    def _read(self, place: mmap.mmap) -> bytes:
        for _ in range(_READS):
            (which,) = _WHICH.unpack_from(place)
            start = self._start(which % 2)
            checksum, length = _HEADER.unpack_from(place, start)
            text = place[start + _HEADER.size : start + _HEADER.size + min(length, self._most_bytes)]
            if zlib.crc32(text) == checksum:
                return text
        return b""

    def _start(self, which: int) -> int:
        return int(_WHICH.size + which * self._slot)
