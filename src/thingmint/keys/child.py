"""Owns one key worker as its parent sees it: its process, its two lanes and its death; refuses to know who waits.

The lanes are read by the event loop. The buffers that key pairs arrive in are overwritten as soon as they are read.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from thingmint.host.hardening import WIPING_ENVIRONMENT
from thingmint.host.words import in_words
from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.keys.generators import Engine
from thingmint.keys.worker import CREDIT, FRAME_HEADER, MAX_FRAME

# -P: the working directory, which may be anybody's, is no place to import from.
WORKER_COMMAND = (sys.executable, "-P", "-m", "thingmint.keys.worker")

# Two key pairs owed at a time, so that a worker never waits for the event loop to ask for the next.
CREDITS_PER_LANE = 2

# Signals that end a process because of what it computes; the last is the limit of a self-test.
_CRASHES = frozenset({signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGVTALRM})

# What the interpreter and its linker read; the service's settings, and the secrets among them, stay here.
_ENVIRONMENT_NAMES = frozenset({"HOME", "LANG", "PATH", "TZ"})
_ENVIRONMENT_PREFIXES = ("DYLD_", "LC_", "LD_", "OPENSSL_", "PYTHON")


class FrameBroken(Exception):
    """A worker sent what is no key pair: its own announcement of a failure, or bytes of no meaning."""


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that a worker gets: nothing that configures the service, and what wipes freed keys.

    The interpreter and its linker read these names before any code of ours can run.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name in _ENVIRONMENT_NAMES or name.startswith(_ENVIRONMENT_PREFIXES)
    }
    return {**kept, **WIPING_ENVIRONMENT}


class KeyPairReader:
    """Turns the bytes of a lane into key pairs and overwrites them."""

    def __init__(self) -> None:
        self._buffer = bytearray(2 * MAX_FRAME)
        self._filled = 0

    def read_from(self, lane: socket.socket) -> Iterator[KeyPair]:
        """Receive once and yield what is complete; raise FrameBroken, or EOFError if the other side is gone."""
        with memoryview(self._buffer) as view:
            received = lane.recv_into(view[self._filled :])
        if received == 0:
            raise EOFError("the key worker closed its lane")
        self._filled += received
        while (frame_length := self._complete_frame()) is not None:
            yield self._pop_key_pair(frame_length)

    def wipe(self) -> None:
        """Overwrite everything that was received."""
        self._buffer[:] = bytes(len(self._buffer))
        self._filled = 0

    def _complete_frame(self) -> int | None:
        if self._filled < FRAME_HEADER.size:
            return None
        length = FRAME_HEADER.size + sum(FRAME_HEADER.unpack_from(self._buffer))
        if length > MAX_FRAME:
            raise FrameBroken(f"a frame of {length} bytes")
        return length if length <= self._filled else None

    def _pop_key_pair(self, frame_length: int) -> KeyPair:
        public_length, _ = FRAME_HEADER.unpack_from(self._buffer)
        middle = FRAME_HEADER.size + public_length
        rest = self._filled - frame_length
        # Through views: a slice of a bytearray is a copy that nobody would overwrite.
        with memoryview(self._buffer) as view:
            public, private = bytes(view[FRAME_HEADER.size : middle]), bytes(view[middle:frame_length])
            view[:rest] = view[frame_length : self._filled]
            view[rest : self._filled] = bytes(frame_length)
        self._filled = rest
        if not public:
            raise FrameBroken(private.decode("ascii", "replace"))
        return KeyPair(public_key_der=public, private_key_pem=private)


class Lane:
    """One of a worker's two sockets: how many key pairs it owes, and since when."""

    def __init__(
        self, ours: socket.socket, deliver: "Callable[[Lane, KeyPair], None]", fail: Callable[[str, bool], None]
    ) -> None:
        ours.setblocking(False)
        self._socket = ours
        self._reader = KeyPairReader()
        self._deliver = deliver
        self._fail = fail
        self.owed = 0
        self.busy_since = 0.0
        self.has_delivered = False
        self._silent_ticks = 0
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(ours, self._receive)

    @property
    def has_room(self) -> bool:
        """Whether another key pair may be asked for."""
        return self.owed < CREDITS_PER_LANE

    def ask(self) -> None:
        """Ask for one key pair more."""
        if self.owed == 0:
            self.busy_since = time.monotonic()
            self._silent_ticks = 0
        self.owed += 1
        try:
            self._socket.send(CREDIT)
        except OSError:
            # The worker has died, and the end of its stream is about to be read.
            return

    def count_silent_tick(self) -> int:
        """Count a tick, and return how many there were since something was owed or delivered."""
        self._silent_ticks = self._silent_ticks + 1 if self.owed else 0
        return self._silent_ticks

    def close(self) -> None:
        """Let go of the socket; what was owed will not come."""
        self.owed = 0
        self._reader.wipe()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def abandon(self) -> None:
        """Close the socket in a fork of the process, whose copy of the event loop must not be touched."""
        self._reader.wipe()
        self._socket.close()

    def _receive(self) -> None:
        try:
            for key_pair in self._reader.read_from(self._socket):
                self.owed -= 1
                self.has_delivered = True
                self._silent_ticks = 0
                self._deliver(self, key_pair)
        except (BlockingIOError, InterruptedError):
            return
        except (OSError, EOFError, FrameBroken) as error:
            self._fail(f"{type(error).__name__}: {in_words(error)}", isinstance(error, FrameBroken))


class Child:
    """A running worker. ``gone`` is set, with a reason that names no key, once it is of no use any more."""

    def __init__(
        self,
        command: Sequence[str],
        on_demand: Callable[[Lane, KeyPair], None],
        on_idle: Callable[[Lane, KeyPair], None],
        engine: Engine = Engine.OPENSSL,
    ) -> None:
        """Start a worker; raise OSError if the system refuses."""
        self.engine = engine
        self._at_fault = False
        ours_idle, theirs_idle = socket.socketpair()
        ours_demand, theirs_demand = socket.socketpair()
        try:
            self._popen = _start(command, theirs_idle, theirs_demand, engine)
        except OSError:
            ours_idle.close()
            ours_demand.close()
            raise
        finally:
            theirs_idle.close()
            theirs_demand.close()
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.idle = Lane(ours_idle, on_idle, self.drop)
        self.demand = Lane(ours_demand, on_demand, self.drop)

    @property
    def pid(self) -> int:
        """The worker's identifier in the system."""
        return self._popen.pid

    @property
    def has_worked(self) -> bool:
        """Whether it has ever delivered a key pair."""
        return self.idle.has_delivered or self.demand.has_delivered

    @property
    def is_at_fault(self) -> bool:
        """Whether the ended worker's engine is to blame, as far as can be told.

        The engine is to blame for a failure that the worker announced, for a crash, and for an end by itself before
        the first key pair; not for an end by a signal from elsewhere.
        """
        code = self._popen.returncode or 0
        return self._at_fault or -code in _CRASHES or (code > 0 and not self.has_worked)

    def drop(self, reason: str, at_fault: bool = False) -> None:
        """Stop using the worker and kill it; it holds nothing that would be missed."""
        self._at_fault = self._at_fault or at_fault
        self.idle.close()
        self.demand.close()
        if self._popen.poll() is None:
            self._popen.kill()
        if not self.gone.done():
            self.gone.set_result(reason)

    def abandon(self) -> None:
        """Forget the worker in a fork of the process that owns it."""
        self.idle.abandon()
        self.demand.abandon()
        # It is nobody's child here, so nobody can wait for it.
        self._popen.returncode = 0

    async def reap(self, within: float) -> bool:
        """Wait for the killed worker's end, but no longer than ``within`` seconds; return whether it ended."""
        # Polled, not awaited: a wait for a child that something else has reaped never returns.
        deadline = time.monotonic() + within
        while self._popen.poll() is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.002)
        return True


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def ask_evenly(lanes: Sequence[Lane], wanted: int) -> None:
    """Have the lanes owe up to ``wanted`` key pairs together, spread evenly."""
    owed = sum(lane.owed for lane in lanes)
    while owed < wanted:
        lane = min(lanes, key=_owed_by, default=None)
        if lane is None or not lane.has_room:
            return
        lane.ask()
        owed += 1


def _owed_by(lane: Lane) -> int:
    return lane.owed


def _start(
    command: Sequence[str], idle: socket.socket, demand: socket.socket, engine: Engine
) -> subprocess.Popen[bytes]:
    # In this session: with CONFIG_SCHED_AUTOGROUP, nice values count among the threads of one session only.
    return subprocess.Popen(  # noqa: S603 - no shell; the command is ours
        [*command, str(idle.fileno()), str(demand.fileno()), str(os.getpid()), engine],
        pass_fds=(idle.fileno(), demand.fileno()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=worker_environment(os.environ),
    )
