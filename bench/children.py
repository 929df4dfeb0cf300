"""Owns the processes of the benchmarks: starts, asks and ends them by their id; knows nothing of what they serve."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROJECT = Path(__file__).resolve().parent.parent
STOP_WITHIN_S = 15.0
# The pinning must come before the program's first thread, or threads that it starts at once would escape it.
PIN_AND_RUN = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])}); os.execv(sys.argv[2], sys.argv[2:])"


class Worker:
    """A Python module in a process of its own that answers lines of JSON."""

    def __init__(self, module: str) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.close()
        if error is not None:
            self._popen.kill()
        self._popen.wait()
        assert self._popen.stdout is not None
        self._popen.stdout.close()

    def begin(self, question: Mapping[str, Any]) -> None:
        """Send a question; its answer is fetched with `finish`."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(question) + "\n")
        self._popen.stdin.flush()

    def finish(self) -> dict[str, Any]:
        """Return the answer to the last question; raise RuntimeError if the process died of it."""
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            raise RuntimeError(f"a benchmark process ended with exit code {self._popen.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Send a question and return its answer."""
        self.begin(question)
        return self.finish()


class Server:
    """A server process, its output in a file, ended by its id."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        core: int | None = None,
    ) -> None:
        self._log = log
        if core is not None:
            command = [sys.executable, "-c", PIN_AND_RUN, str(core), *command]
        with log.open("ab") as output:
            self.started_at = time.perf_counter()
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._popen.pid

    def wait_until(self, ready: Callable[[], bool], within_s: float = 60.0, interval_s: float = 0.05) -> None:
        """Return once ``ready`` says so; raise RuntimeError if the server ends or takes too long."""
        deadline = time.perf_counter() + within_s
        while not ready():
            if self._popen.poll() is not None:
                raise RuntimeError(f"the server ended with {self._popen.returncode}: {self.last_words()}")
            if time.perf_counter() > deadline:
                raise RuntimeError(f"the server was not ready within {within_s:.0f} s: {self.last_words()}")
            time.sleep(interval_s)

    def last_words(self) -> str:
        """Return the end of what the server printed."""
        return self._log.read_text(errors="replace")[-1500:]

    def stop(self) -> None:
        """End the server: politely first, then for certain."""
        self._popen.terminate()
        try:
            self._popen.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
