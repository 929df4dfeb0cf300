"""Owns how tests start `thingmint` and the AWS CLI: by a fork of a process that has imported them already.

The same program runs in a process of its own; see `fork_server.py`. It is executed instead where the environment
changes how the interpreter or a library starts, and where the system has no descriptors of processes.
"""

import contextlib
import functools
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeAlias

from tests.support.machine.quick_folder import quick_folder

_MODULE = "thingmint"
_THINGMINT = (f"{_MODULE}.*",)
_AWS = ("awscli.clidriver", "botocore.endpoint", "botocore.httpsession", "botocore.signers")
_ROOT = Path(__file__).parents[3]
_PROGRAMS = Path(sys.executable).parent
# Variables that an interpreter, the C library or another library reads once, when it starts.
_READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "GLIBC_", "MALLOC_", "OPENSSL_")
# libfaketime reads these once too, but asks for the name of the file that turns the clock whenever it tells the time.
_CLOCK_FILE = "FAKETIME_TIMESTAMP_FILE"
_TURNS_CLOCKS = ("FAKETIME_", "NO_FAKE_", "DONT_FAKE_")
# Nothing is imported from a source after the start.
_WITHOUT_EFFECT = {"PYTHONDONTWRITEBYTECODE"}
_FORKS = hasattr(os, "pidfd_open") and sys.platform == "linux"
_READ_WITHIN_SECONDS = 60.0
"""In so much time after the end of a program, what it has written is read."""


class ForkedProcess:
    """A process that a fork server has started, with what tests use of `subprocess.Popen`. Its files are texts."""

    def __init__(
        self,
        server: Path,
        program: str,
        arguments: tuple[str, ...],
        *,
        files: tuple[int, int, int],
        environment: Mapping[str, str],
        folder: str | None = None,
    ) -> None:
        """Start it; the caller closes the files. It is killed when this process ends or drops this object."""
        self.args = (program, *arguments)
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self.stderr: IO[str] | None = None
        self.returncode: int | None = None
        self._asking = threading.Lock()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.connect(str(server))
        variables = (f"{name}={value}" for name, value in environment.items())
        run = (program, folder or str(Path.cwd()), str(len(arguments)), *arguments, *variables)
        socket.send_fds(self._server, [os.fsencode("\0".join(run))], files)
        answer, descriptors, _, _ = socket.recv_fds(self._server, 64, 1)
        self.pid = int(answer)
        (self._process,) = descriptors

    def poll(self) -> int | None:
        """Return the exit code; None if the process has not ended."""
        return self._code(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code; raise `subprocess.TimeoutExpired` if it takes longer."""
        code = self._code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _code(self, timeout: float | None) -> int | None:
        with self._asking:
            if self.returncode is None:
                waiting = select.poll()
                waiting.register(self._server, select.POLLIN)
                if waiting.poll(None if timeout is None else timeout * 1000):
                    self.returncode = int(self._server.recv(64))
                    self._server.close()
                    os.close(self._process)
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal unless the process has ended."""
        with self._asking, contextlib.suppress(ProcessLookupError):
            if self.returncode is None:
                signal.pidfd_send_signal(self._process, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def communicate(self, input: None = None, timeout: float | None = None) -> tuple[str, str]:  # noqa: A002  as Popen
        """Read what the process writes until its end, and wait for it.

        Raises `subprocess.TimeoutExpired` if it takes longer, or if another process keeps the output open.
        """
        del input
        read = ["", ""]

        def drain(number: int, stream: IO[str]) -> None:
            with stream:
                read[number] = stream.read()

        streams = [(number, stream) for number, stream in enumerate((self.stdout, self.stderr)) if stream is not None]
        threads = [threading.Thread(target=drain, args=each, daemon=True) for each in streams]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        deadline = time.monotonic() + _READ_WITHIN_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                raise subprocess.TimeoutExpired((*self.args, "(its output is still open)"), _READ_WITHIN_SECONDS)
        return read[0], read[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self.wait()


Process: TypeAlias = "subprocess.Popen[str] | ForkedProcess"


def start_thingmint(
    *arguments: str,
    program: str = _MODULE,
    before: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
    folder: Path | None = None,
) -> Process:
    """Start a command of this interpreter's Thingmint.

    ``program`` is the absolute path of a script that imports Thingmint, to run it instead. ``before`` is a command that
    takes the command as its last arguments, and executes it.
    """
    environment = dict(os.environ if environment is None else environment)
    at_start = _at_the_start(environment)
    if before or not _FORKS or at_start is None:
        return subprocess.Popen(
            [*before, sys.executable, *(("-m", _MODULE) if program == _MODULE else (program,)), *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            cwd=folder,
            text=True,
        )
    with contextlib.ExitStack() as ours:
        nothing = ours.enter_context(Path(os.devnull).open("r+b"))
        files, pipes = list[int](), list[IO[str] | None]()
        for given in (stdin, stdout, stderr):
            pipes.append(None)
            if given == subprocess.PIPE:
                reading, writing = os.pipe()
                ours.callback(os.close, writing)
                pipes[-1] = os.fdopen(reading, encoding="utf-8")
                files.append(writing)
            elif given == subprocess.DEVNULL:
                files.append(nothing.fileno())
            else:
                files.append(given if isinstance(given, int) else given.fileno())
        process = ForkedProcess(
            _SERVERS.socket_of(_THINGMINT, at_start),
            program,
            arguments,
            files=(files[0], files[1], files[2]),
            environment=environment,
            folder=None if folder is None else str(folder),
        )
        _, process.stdout, process.stderr = pipes
    return process


def run_thingmint(
    *arguments: str,
    program: str = _MODULE,
    environment: Mapping[str, str] | None = None,
    stdin: str = "",
    check: bool = False,
    timeout: float | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end and return what it has printed; raise its words if it fails and may not."""
    with tempfile.TemporaryFile() as typed:
        typed.write(stdin.encode())
        typed.seek(0)
        process = start_thingmint(*arguments, program=program, environment=environment, stdin=typed)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_READ_WITHIN_SECONDS)
        raise
    assert process.returncode is not None
    assert not check or process.returncode == 0, err
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@functools.cache
def programs() -> Path:
    """Return a folder for `PATH` with an `aws` and a `thingmint` that a fork server runs; others follow it there."""
    if not _FORKS:
        return _PROGRAMS
    folder = _SERVERS.folder
    for name, modules in (("aws", _AWS), ("thingmint", _THINGMINT)):
        own, real = folder / name, _PROGRAMS / name
        if real.exists():
            own.write_text(
                _ASKS.format(python=sys.executable, program=str(real), server=str(_SERVERS.socket_of(modules)))
            )
            own.chmod(0o755)
    return folder


# A service is executed: a shell that starts it in the background ends it with its process group. The modules are those
# that are part of the interpreter: to import `socket` and `json` would take most of the program's time.
_ASKS = """#!{python} -IS
import posix, sys
import _socket
arguments = sys.argv[1:]
if arguments[:1] == ["serve"]:
    posix.execv({program!r}, [{program!r}, *arguments])
texts = [{program!r}, posix.getcwd(), str(len(arguments)), *arguments]
run = [text.encode(sys.getfilesystemencoding(), "surrogateescape") for text in texts]
run += [name + b"=" + value for name, value in posix.environ.items()]
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
server.connect({server!r})
files = b"".join(file.to_bytes(4, sys.byteorder) for file in (0, 1, 2))
server.sendmsg([b"\\0".join(run)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
server.recv(64)
code = int(server.recv(64))
posix._exit(code if code >= 0 else 128 - code)
"""


def _at_the_start(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...] | None:
    """Return the variables that a fork server needs at its own start for programs that have this environment.

    None if an interpreter could start otherwise in this environment than in our own. The library that turns the clock
    is the only one that may be loaded before: it turns it for each forked process alone.
    """
    names = {name for name in {*environment, *os.environ} if name.startswith(_READ_AT_START)} - _WITHOUT_EFFECT
    others = {name for name in names if environment.get(name) != os.environ.get(name)}
    if not others:
        return ()
    if others != {"LD_PRELOAD"} or "/libfaketime" not in environment.get("LD_PRELOAD", ""):
        return None
    turning = {name for name in environment if name.startswith(_TURNS_CLOCKS)} - {_CLOCK_FILE}
    return tuple(sorted((name, environment[name]) for name in turning | others))


class _Servers:
    """The fork servers of this process of tests."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        self._ending = contextlib.ExitStack()
        self._sockets: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], Path] = {}

    @functools.cached_property
    def folder(self) -> Path:
        """Where sockets and programs are."""
        folder = tempfile.TemporaryDirectory(prefix="thingmint-forks-", dir=quick_folder())
        return Path(self._ending.enter_context(folder))

    def socket_of(self, modules: tuple[str, ...], at_start: tuple[tuple[str, str], ...] = ()) -> Path:
        """Return the socket of a server that has imported the modules, and was started with the variables."""
        with self._starting:
            if (modules, at_start) not in self._sockets:
                self._sockets[modules, at_start] = self._start(modules, at_start)
            return self._sockets[modules, at_start]

    def _start(self, modules: tuple[str, ...], at_start: tuple[tuple[str, str], ...]) -> Path:
        path = self.folder / f"{modules[0].partition('.')[0]}-{len(self._sockets)}.socket"
        environment = os.environ | dict(at_start)
        if at_start:
            # The server's own clock is right.
            clock = path.with_suffix(".clock")
            clock.write_text("+0")
            environment[_CLOCK_FILE] = str(clock)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.services.fork_server", str(path), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_ROOT,
            env=environment,
        )
        # It has nothing to finish. Programs that it has forked go on.
        self._ending.callback(process.communicate, timeout=_READ_WITHIN_SECONDS)
        self._ending.callback(process.kill)
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        return path

    def end(self) -> None:
        """End the servers and remove the folder."""
        self._ending.close()


_SERVERS = _Servers()


def end_fork_servers() -> None:
    """End what the tests of this process have started here."""
    _SERVERS.end()
