"""Owns what is printed inside the service while its log is JSON: each line becomes a line of the log.

Hooks are the operator's code, and print. Between the lines of a JSON log that text would stop readers of the log.
What programs write that a hook starts goes past it.
"""

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# A line that does not end is written in pieces.
_LONGEST_LINE = 8192


class _Begun(threading.local):
    """What a thread has printed since its last line ended."""

    text = ""


class PrintedLines(io.TextIOBase):
    """A text stream that hands over each line without its end; threads do not mix their lines."""

    encoding = "utf-8"

    def __init__(self, hand_over: Callable[[str], object]) -> None:
        super().__init__()
        self._hand_over = hand_over
        self._begun = _Begun()

    def writable(self) -> bool:
        """Return that the stream can be written to."""
        return True

    def write(self, text: str) -> int:
        """Take text, and hand over the lines that it ends."""
        *lines, rest = (self._begun.text + text).split("\n")
        while len(rest) > _LONGEST_LINE:
            lines.append(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
        # Kept before the lines are handed over: the log could print, too.
        self._begun.text = rest
        for line in lines:
            if line.strip():
                self._hand_over(line.rstrip("\r"))
        return len(text)

    def flush(self) -> None:
        """Do nothing: lines are handed over when they end."""


@contextmanager
def printed_to(hand_over: Callable[[str], object]) -> Iterator[None]:
    """Hand over what is printed to standard output and standard error until the end of the block."""
    streams, printed = (sys.stdout, sys.stderr), PrintedLines(hand_over)
    sys.stdout = sys.stderr = printed
    try:
        yield
    finally:
        # A stream that was given up meanwhile stays so: flushing it at the end of the process would fail.
        sys.stdout = streams[0] if sys.stdout is printed else sys.stdout
        sys.stderr = streams[1] if sys.stderr is printed else sys.stderr
