"""Owns the text that code prints inside the service while the log is JSON: each printed line becomes a log line.

Hooks are the operator's code, and may print. Plain text between JSON lines would stop programs that read the log.
Output of programs that a hook starts is not covered.
"""

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# A longer line is written in pieces.
_LONGEST_LINE = 8192


class _Begun(threading.local):
    """What a thread has printed since its last line ended."""

    text = ""


class PrintedLines(io.TextIOBase):
    """A text stream that hands over each line without its line end; lines of several threads are not mixed."""

    encoding = "utf-8"

    def __init__(self, hand_over: Callable[[str], object]) -> None:
        super().__init__()
        self._hand_over = hand_over
        self._begun = _Begun()

    def writable(self) -> bool:
        """Return True: the stream can be written to."""
        return True

    def write(self, text: str) -> int:
        """Take text, and hand over the lines that it completes."""
        *lines, rest = (self._begun.text + text).split("\n")
        while len(rest) > _LONGEST_LINE:
            lines.append(rest[:_LONGEST_LINE])
            rest = rest[_LONGEST_LINE:]
        # The rest is kept before the lines are handed over, because writing the log may print, too.
        self._begun.text = rest
        for line in lines:
            if line.strip():
                self._hand_over(line.rstrip("\r"))
        return len(text)

    def flush(self) -> None:
        """Do nothing: lines are handed over when they end."""


@contextmanager
def printed_to(hand_over: Callable[[str], object]) -> Iterator[None]:
    """Hand over lines that are printed to standard output and standard error until the end of the block."""
    streams, printed = (sys.stdout, sys.stderr), PrintedLines(hand_over)
    sys.stdout = sys.stderr = printed
    try:
        yield
    finally:
        # A stream that other code has replaced meanwhile stays replaced: flushing the old one at exit would fail.
        sys.stdout = streams[0] if sys.stdout is printed else sys.stdout
        sys.stderr = streams[1] if sys.stderr is printed else sys.stderr
