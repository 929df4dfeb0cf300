"""Owns the standard streams of a process: those that are closed when it starts, and an output that cannot be written.

If a standard stream is closed, the next file or connection gets its number, and what a library prints goes into it.
uvloop ends the process when it closes a connection with such a number.
"""

import io
import os
import sys
from typing import Final, TextIO

from thingmint.core.error_text import in_words

_INPUT, _OUTPUT, _ERRORS = range(3)
# Nothing can be written to an output that is closed: a program that prints something must learn that it is lost.
_FLAGS: Final = {_INPUT: os.O_RDONLY, _OUTPUT: os.O_RDONLY, _ERRORS: os.O_WRONLY}


class OutputLost(OSError):
    """Standard output cannot be written. If nobody reads it any more, BrokenPipeError is raised instead."""


def prepare_standard_streams() -> None:
    """Open standard streams that are closed, and let writing to standard output raise OutputLost if it fails."""
    for descriptor, flags in _FLAGS.items():
        _occupy(descriptor, flags)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(_INPUT, closefd=False)), encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = io.TextIOWrapper(io.FileIO(_ERRORS, "wb", closefd=False), encoding="utf-8", write_through=True)
    if sys.platform != "win32" or sys.stdout is None:
        sys.stdout = _checked(sys.stdout)


def _occupy(descriptor: int, flags: int) -> None:
    """Open the null device as the descriptor, if that is closed."""
    try:
        os.fstat(descriptor)
    except OSError:
        # The lowest free descriptor is used, and those below this one are open.
        os.open(os.devnull, flags)
        os.set_inheritable(descriptor, True)


def _checked(stdout: TextIO | None) -> io.TextIOWrapper:
    encoding = "utf-8" if stdout is None else stdout.encoding
    # A file name that is not UTF-8 is printed as it is.
    errors = "surrogateescape" if stdout is None or stdout.errors == "strict" else stdout.errors
    is_terminal = stdout is not None and stdout.isatty()
    buffered = io.BufferedWriter(_Output())  # type: ignore[type-var]  # write takes what BufferedWriter passes
    return io.TextIOWrapper(buffered, encoding, errors, line_buffering=is_terminal)


class _Output(io.FileIO):
    """Standard output. After a failure, which it reports once, it discards what is written."""

    def __init__(self) -> None:
        super().__init__(_OUTPUT, "wb", closefd=False)
        self._is_lost = False

    def write(self, content: bytes | memoryview, /) -> int:  # type: ignore[override]  # what BufferedWriter passes
        """Write some of the bytes and return their number; raise OutputLost if that fails."""
        if not self._is_lost:
            try:
                return super().write(content)
            except BrokenPipeError:
                self._is_lost = True
                raise
            except OSError as error:
                self._is_lost = True
                raise OutputLost(error.errno, f"standard output cannot be written: {in_words(error)}") from error
        return memoryview(content).nbytes
