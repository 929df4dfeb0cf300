"""Owns the program of a key worker: generates a key pair for each byte it receives; keeps none and knows no caller.

It runs as ``python -m thingmint.keys.worker IDLE_FD DEMAND_FD PARENT_PID ENGINE``, started by exec, never by a fork of
a process that holds keys. Each lane is a stream socket with a thread of its own: one byte received is one key pair
owed, and each answer is a frame of `encode_frame`. There is no pickle: a frame is two lengths and two byte strings.

The threads of a process share its GIL, but the generation releases it. An unprivileged thread cannot come back from
SCHED_IDLE, so the reserve (which may starve beside other programs) and the demand (which must not) need a thread each.
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

# The lengths of the public and of the private part. An empty public part announces that generation failed, and the
# private part is then the name of the error.
FRAME_HEADER = struct.Struct("!HH")
MAX_FRAME = 8192
CREDIT = b"\x01"

# Relative to the parent: its event loop must be able to preempt a generation, and no reader may wait for a key.
DEMAND_NICE = 5
IDLE_NICE = 19
# Thirty times what the self-test of an engine takes.
SELF_TEST_WITHIN = 2.0
_CREDITS_AT_ONCE = 64
_PR_SET_PDEATHSIG = 1
_SIGNALS_OF_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def encode_frame(public: bytes, private: bytes) -> bytearray:
    """Return the frame of a key pair, or of a failure if the public part is empty, in a buffer that can be wiped."""
    return bytearray().join((FRAME_HEADER.pack(len(public), len(private)), public, private))


def announce_failure(lane: socket.socket, error: Exception) -> None:
    """Send the name of the error in place of a key pair; its text may quote a number."""
    lane.sendall(encode_frame(b"", type(error).__name__.encode()))


def serve_lane(lane: socket.socket, generate: Callable[[], KeyPair]) -> None:
    """Answer each byte with a key pair until the other side goes; announce a failed generation, and end."""
    while credits_received := lane.recv(_CREDITS_AT_ONCE):
        for _ in credits_received:
            try:
                key_pair = generate()
            except Exception as error:  # noqa: BLE001 - with any error (no entropy, a weak key) no key leaves here
                announce_failure(lane, error)
                return
            frame = encode_frame(key_pair.public_key_der, key_pair.private_key_pem)
            del key_pair  # it would stay readable here until the next one is asked for
            try:
                lane.sendall(frame)
            finally:
                frame[:] = bytes(len(frame))


def yield_to_everyone() -> None:
    """Let the calling thread run only when a core has nothing else to run."""
    try:
        # On Linux this and os.nice concern the calling thread alone (sched(7), nice(2)).
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):
        # Not Linux, or a sandbox that forbids it: nice is always allowed to rise.
        os.nice(IDLE_NICE)


def yield_to_the_service() -> None:
    """Let the service's own threads run before the calling thread."""
    os.nice(DEMAND_NICE)


def end_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies, and end now if that has happened."""
    if sys.platform == "linux":
        # prctl(2): the parent is the thread that started this process, not its whole process.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    # Elsewhere, and where prctl is refused, the end of the stream ends the lanes.
    if os.getppid() != parent:
        os._exit(0)


def main(arguments: Sequence[str]) -> None:
    """Serve both lanes until the parent closes one of them; this ends the whole process."""
    idle_lane, demand_lane, parent = map(int, arguments[:3])
    # A signal to the process group is meant for the parent, which may still have requests that wait for keys.
    for signal_of_the_parent in _SIGNALS_OF_THE_PARENT:
        signal.signal(signal_of_the_parent, signal.SIG_IGN)
    harden_process(wipe_freed_memory=True)
    end_with_parent(parent)
    idle, demand = _generators(Engine(arguments[3]), demand_lane)
    threading.Thread(target=_run_lane, args=(idle_lane, yield_to_everyone, idle), daemon=True).start()
    _run_lane(demand_lane, yield_to_the_service, demand)


def _generators(engine: Engine, demand_lane: int) -> list[Callable[[], KeyPair]]:
    """Return what generates for each lane; announce an engine that cannot, and end this process."""
    # In seconds of processor time, which a crowded machine does not make fewer; the signal ends this process.
    signal.setitimer(signal.ITIMER_VIRTUAL, SELF_TEST_WITHIN)
    try:
        return generators(engine, 2)
    except Exception as error:  # noqa: BLE001 - an engine that fails its self-test with any error makes no key
        with contextlib.suppress(OSError), socket.socket(fileno=demand_lane) as lane:
            announce_failure(lane, error)
        os._exit(1)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _run_lane(descriptor: int, lower_priority: Callable[[], None], generate: Callable[[], KeyPair]) -> None:
    try:
        lower_priority()
        with socket.socket(fileno=descriptor) as lane:
            serve_lane(lane, generate)
    except OSError:
        # The parent is gone or has dropped this worker; there is nobody to tell.
        pass
    finally:
        # Without waiting for the other lane, which may be in the middle of a generation.
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
