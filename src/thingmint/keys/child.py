"""Owns one key worker in its parent: the process, its two channels and its end. Independent of the callers that wait.

The event loop reads the channels. The buffers in which key pairs arrive are overwritten as soon as they are read.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from thingmint.core.error_text import in_words
from thingmint.host.hardening import WIPING_ENVIRONMENT
from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.keys.generators import Engine
from thingmint.keys.worker import CREDIT, DEMAND_NICE, FRAME_HEADER, MAX_FRAME

# -P: do not import from the working directory, in which other users may be able to write.
WORKER_COMMAND = (sys.executable, "-P", "-m", "thingmint.keys.worker")

# A channel is asked for up to two key pairs at a time, so that a worker never waits for the event loop's next request.
CREDITS_PER_LANE = 2

# Signals by which a fault in a process's own code ends it; the last one is the time limit of the self-test.
_CRASHES = frozenset({signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGVTALRM})

# The interpreter and its linker read these. A worker does not get the service's settings, which may be secret.
_ENVIRONMENT_NAMES = frozenset({"HOME", "LANG", "PATH", "TZ"})
_ENVIRONMENT_PREFIXES = ("DYLD_", "LC_", "LD_", "OPENSSL_", "PYTHON")


class FrameBroken(Exception):
    """A worker has sent something other than a key pair: the announcement of a failure, or invalid bytes."""


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker: the settings that wipe freed keys, and none of the service's settings.

    The interpreter and its linker read these names before the project's code can run.
    """
    kept = {
        name: value
        for name, value in environment.items()
        if name in _ENVIRONMENT_NAMES or name.startswith(_ENVIRONMENT_PREFIXES)
    }
    return {**kept, **WIPING_ENVIRONMENT}


class KeyPairReader:
    """Decodes the bytes of a channel into key pairs and overwrites the bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray(2 * MAX_FRAME)
        self._filled = 0

    def read_from(self, channel: socket.socket) -> Iterator[KeyPair]:
        """Receive once and yield complete key pairs; raise FrameBroken, or EOFError if the worker has gone."""
        with memoryview(self._buffer) as view:
            received = channel.recv_into(view[self._filled :])
        if received == 0:
            raise EOFError("the key worker closed its channel")
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
        # Through views: a slice of a bytearray is a copy, which would not be overwritten.
        with memoryview(self._buffer) as view:
            public, private = bytes(view[FRAME_HEADER.size : middle]), bytes(view[middle:frame_length])
            view[:rest] = view[frame_length : self._filled]
            view[rest : self._filled] = bytes(frame_length)
        self._filled = rest
        if not public:
            raise FrameBroken(private.decode("ascii", "replace"))
        return KeyPair(public_key_der=public, private_key_pem=private)


class Channel:
    """One of a worker's two sockets, with the number of key pairs that were asked for and have not arrived."""

    def __init__(
        self, ours: socket.socket, deliver: "Callable[[Channel, KeyPair], None]", fail: Callable[[str, bool], None]
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
        """Whether the worker may be asked for another key pair on this channel."""
        return self.owed < CREDITS_PER_LANE

    def ask(self) -> None:
        """Ask the worker for one more key pair."""
        if self.owed == 0:
            self.busy_since = time.monotonic()
            self._silent_ticks = 0
        self.owed += 1
        try:
            self._socket.send(CREDIT)
        except OSError:
            # The worker has ended. The event loop is about to read the end of the stream.
            return

    def count_silent_tick(self) -> int:
        """Count a tick, and return how many have passed since the last delivery; 0 if nothing is owed."""
        self._silent_ticks = self._silent_ticks + 1 if self.owed else 0
        return self._silent_ticks

    def close(self) -> None:
        """Close the socket; key pairs that were asked for will not arrive."""
        self.owed = 0
        self._reader.wipe()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def abandon(self) -> None:
        """Close the socket in a forked process, which must not use its copy of the event loop."""
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
    """A running worker. When it can no longer be used, ``gone`` gets the reason, which contains no key."""

    def __init__(
        self,
        command: Sequence[str],
        on_demand: Callable[[Channel, KeyPair], None],
        on_idle: Callable[[Channel, KeyPair], None],
        engine: Engine = Engine.OPENSSL,
    ) -> None:
        """Start a worker; raise OSError if the system cannot start it."""
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
        self.idle = Channel(ours_idle, on_idle, self.drop)
        self.demand = Channel(ours_demand, on_demand, self.drop)

    @property
    def pid(self) -> int:
        """The worker's process id."""
        return self._popen.pid

    @property
    def has_worked(self) -> bool:
        """Whether the worker has delivered a key pair."""
        return self.idle.has_delivered or self.demand.has_delivered

    @property
    def is_at_fault(self) -> bool:
        """Whether the engine probably caused the end of the worker.

        The engine is the cause if the worker announced a failure, crashed, or ended by itself before the first key
        pair. It is not the cause if a signal from another process ended the worker.
        """
        code = self._popen.returncode or 0
        return self._at_fault or -code in _CRASHES or (code > 0 and not self.has_worked)

    def drop(self, reason: str, at_fault: bool = False) -> None:
        """Stop using the worker and kill it; it holds no key pair that was delivered."""
        self._at_fault = self._at_fault or at_fault
        self.idle.close()
        self.demand.close()
        if self._popen.poll() is None:
            self._popen.kill()
        if not self.gone.done():
            self.gone.set_result(reason)

    def abandon(self) -> None:
        """Release the worker in a fork of the process that started it, without ending it."""
        self.idle.abandon()
        self.demand.abandon()
        # The worker is not a child of the forked process, which therefore cannot wait for it.
        self._popen.returncode = 0

    async def reap(self, within: float) -> bool:
        """Wait at most ``within`` seconds for the end of the killed worker; return whether it has ended."""
        # Polled, not awaited: a wait for a child that other code has already reaped would never return.
        deadline = time.monotonic() + within
        while self._popen.poll() is None:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.002)
        return True


def ask_evenly(channels: Sequence[Channel], wanted: int) -> None:
    """Ask the channels, spread evenly, until ``wanted`` key pairs are outstanding in total, or no channel has room."""
    owed = sum(channel.owed for channel in channels)
    while owed < wanted:
        channel = min(channels, key=_owed_by, default=None)
        if channel is None or not channel.has_room:
            return
        channel.ask()
        owed += 1


def _owed_by(channel: Channel) -> int:
    return channel.owed


def _start(
    command: Sequence[str], idle: socket.socket, demand: socket.socket, engine: Engine
) -> subprocess.Popen[bytes]:
    # In the parent's session: with CONFIG_SCHED_AUTOGROUP, nice values are compared only within one session.
    popen = subprocess.Popen(  # noqa: S603 - no shell; the command is ours
        [*command, str(idle.fileno()), str(demand.fileno()), str(os.getpid()), engine],
        pass_fds=(idle.fileno(), demand.fileno()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=worker_environment(os.environ),
    )
    # Before the worker lowers its own priority, its imports would slow down the start of the service.
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, popen.pid, os.getpriority(os.PRIO_PROCESS, 0) + DEMAND_NICE)
    return popen
