"""Owns the program of a key worker, which generates a key pair for each byte that it receives. Keeps no key pairs.

It runs as ``python -m thingmint.keys.worker IDLE_FD DEMAND_FD PARENT_PID ENGINE``. It is started by exec, never by a
fork of a process that holds keys. Each channel is a stream socket with its own thread. Each byte received asks for one
key pair, and each answer is a frame of `encode_frame`: two lengths and two byte strings, without pickle.

The threads of a process share its GIL, but the generation releases it. An unprivileged thread cannot leave SCHED_IDLE.
Therefore the reserve (which may wait for other programs) and the demand (which must not) need one thread each.
"""

import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Sequence

from thingmint.host.hardening import harden_process
from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.keys.generators import Engine, generators

# The lengths of the public and of the private part. An empty public part announces a failed generation; the private
# part is then the name of the error.
FRAME_HEADER = struct.Struct("!HH")
MAX_FRAME = 8192
CREDIT = b"\x01"

# Relative to the parent, whose event loop must be able to preempt a generation: other requests must not wait for a key.
DEMAND_NICE = 5
IDLE_NICE = 19
# Thirty times the duration of an engine's self-test.
SELF_TEST_WITHIN = 2.0
_CREDITS_AT_ONCE = 64
_PR_SET_PDEATHSIG = 1
_SIGNALS_OF_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def encode_frame(public: bytes, private: bytes) -> bytearray:
    """Return the frame of a key pair, or of a failure if the public part is empty, in a buffer that can be wiped."""
    return bytearray().join((FRAME_HEADER.pack(len(public), len(private)), public, private))


def announce_failure(channel: socket.socket, error: Exception) -> None:
    """Send the name of the error instead of a key pair; its text is not sent, because it may quote a secret number."""
    channel.sendall(encode_frame(b"", type(error).__name__.encode()))


def serve_channel(channel: socket.socket, generate: Callable[[], KeyPair]) -> None:
    """Answer each byte with a key pair until the parent closes the channel; announce a failed generation, and end."""
    while credits_received := channel.recv(_CREDITS_AT_ONCE):
        for _ in credits_received:
            try:
                key_pair = generate()
            except Exception as error:  # noqa: BLE001 - with any error (no entropy, a weak key) no key leaves here
                announce_failure(channel, error)
                return
            frame = encode_frame(key_pair.public_key_der, key_pair.private_key_pem)
            del key_pair  # it would stay readable here until the next one is asked for
            try:
                channel.sendall(frame)
            finally:
                frame[:] = bytes(len(frame))


def yield_to_everyone() -> None:
    """Let the calling thread run only when a core has nothing else to run."""
    try:
        # On Linux this call and os.nice affect the calling thread only (sched(7), nice(2)).
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        # Not Linux, or a sandbox forbids it. A process may always raise its nice value.
        os.nice(IDLE_NICE)


def yield_to_the_service() -> None:
    """Let the service's own threads run before the calling thread; nothing changes if they do already."""
    wanted = os.getpriority(os.PRIO_PROCESS, os.getppid()) + DEMAND_NICE
    os.setpriority(os.PRIO_PROCESS, 0, max(os.getpriority(os.PRIO_PROCESS, 0), wanted))


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent ends; exit now if the parent has already ended."""
    if sys.platform == "linux":
        # prctl(2): "parent" means the thread that started this process, not its process.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    # On other systems, or if prctl fails, the end of the stream ends the channels.
    if os.getppid() != parent:
        os._exit(0)


def main(arguments: Sequence[str]) -> None:
    """Serve both channels until the parent closes one of them; then the whole process exits."""
    idle_channel, demand_channel, parent = map(int, arguments[:3])
    # A signal to the process group is for the parent, in which callers may still wait for keys.
    for signal_of_the_parent in _SIGNALS_OF_THE_PARENT:
        signal.signal(signal_of_the_parent, signal.SIG_IGN)
    harden_process(wipe_freed_memory=True)
    end_with_parent(parent)
    idle, demand = _generators(Engine(arguments[3]), demand_channel)
    threading.Thread(target=_run_channel, args=(idle_channel, yield_to_everyone, idle), daemon=True).start()
    _run_channel(demand_channel, yield_to_the_service, demand)


def _generators(engine: Engine, demand_channel: int) -> list[Callable[[], KeyPair]]:
    """Return a generating function for each channel; if the engine cannot be used, announce this and exit."""
    # Counted in processor time, so that a busy machine does not shorten it; the signal ends this process.
    signal.setitimer(signal.ITIMER_VIRTUAL, SELF_TEST_WITHIN)
    try:
        return generators(engine, 2)
    except Exception as error:  # noqa: BLE001 - an engine that fails its self-test with any error makes no key
        with contextlib.suppress(OSError), socket.socket(fileno=demand_channel) as channel:
            announce_failure(channel, error)
        os._exit(1)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _run_channel(descriptor: int, lower_priority: Callable[[], None], generate: Callable[[], KeyPair]) -> None:
    try:
        lower_priority()
        with socket.socket(fileno=descriptor) as channel:
            serve_channel(channel, generate)
    except OSError:
        # The parent has ended or has dropped this worker, so nothing can be reported.
        pass
    finally:
        # Do not wait for the other channel, which may be generating a key pair.
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
