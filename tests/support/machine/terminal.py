"""Runs a program on a terminal of its own, as people see it."""

import contextlib
import fcntl
import os
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

WIDTH = 80
_GENEROUS_SECONDS = 60.0


@dataclass
class Terminal:
    """A program and what it has written to its terminal."""

    popen: subprocess.Popen[bytes]
    descriptor: int
    written: bytearray = field(default_factory=bytearray)

    @property
    def shown(self) -> str:
        """What was written, as text; a character of which a part has come is left out."""
        return self.written.decode(errors="ignore").replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        """What was written, as lines."""
        return self.shown.splitlines()

    def wait_for(self, text: str) -> None:
        """Read until the text has been written."""
        deadline = time.monotonic() + _GENEROUS_SECONDS
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown
            assert self._read(), f"it ended: {self.shown}"

    def interrupt(self) -> None:
        """Send what Ctrl-C sends."""
        self.popen.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Read to the end; return the exit code."""
        deadline = time.monotonic() + _GENEROUS_SECONDS
        while self._read():
            assert time.monotonic() < deadline, self.shown
        return self.popen.wait(_GENEROUS_SECONDS)

    def _read(self) -> bool:
        ready, _, _ = select.select([self.descriptor], [], [], 1)
        if not ready:
            return True
        try:
            read = os.read(self.descriptor, 65536)
        except OSError:
            # Linux says so when nobody has the other end any more.
            return False
        self.written += read
        return bool(read)


@contextlib.contextmanager
def on_terminal(*command: str, directory: Path, environment: Mapping[str, str] | None = None) -> Iterator[Terminal]:
    """Yield the running program, and kill it if it still runs at the end."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, WIDTH, 0, 0))
    own = {name: value for name, value in os.environ.items() if not name.startswith(("THINGMINT_", "COLUMNS"))}

    popen = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=directory,
        env=own | {"TERM": "xterm"} | dict(environment or {}),
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Terminal(popen, ours)
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait()
        os.close(ours)
