"""The worker's side of a channel, with fake generators in this process and with real worker processes."""

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key

from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.keys import worker as key_worker
from thingmint.keys.worker import FRAME_HEADER, encode_frame, serve_channel

WORKER = (sys.executable, "-P", "-m", "thingmint.keys.worker")
# Starts a worker on the two inherited sockets, says its pid, and waits to be killed.
PARENT_TO_BE_KILLED = """
import os, subprocess, sys
channels = tuple(map(int, sys.argv[1:3]))
worker = subprocess.Popen([*sys.argv[3:], *map(str, channels), str(os.getpid()), "openssl"], pass_fds=channels)
print(worker.pid, flush=True)
worker.wait()
"""


def receive_exactly(channel: socket.socket, length: int) -> bytes:
    """Return the next bytes of the channel; raise EOFError if there are fewer."""
    received = channel.recv(length, socket.MSG_WAITALL)
    if len(received) < length:
        raise EOFError
    return received


def receive_frame(channel: socket.socket) -> tuple[bytes, bytes]:
    """Return the public and the private part of the next frame."""
    public_length, private_length = FRAME_HEADER.unpack(receive_exactly(channel, FRAME_HEADER.size))
    return receive_exactly(channel, public_length), receive_exactly(channel, private_length)


def wait_for_end(pid_descriptor: int) -> None:
    """Return when the process that the descriptor stands for has ended."""
    poll = select.poll()
    poll.register(pid_descriptor, select.POLLIN)
    assert poll.poll(30_000), "the worker is still alive"


@pytest.fixture
def lane_to() -> Iterator[Callable[[Callable[[], KeyPair]], socket.socket]]:
    """Return a function that serves a channel from a generator in a thread and returns the other end."""
    threads: list[threading.Thread] = []
    ends: list[socket.socket] = []

    def serve(theirs: socket.socket, generate: Callable[[], KeyPair]) -> None:
        with theirs:
            serve_channel(theirs, generate)

    def start(generate: Callable[[], KeyPair]) -> socket.socket:
        ours, theirs = socket.socketpair()
        threads.append(threading.Thread(target=serve, args=(theirs, generate)))
        ends.append(ours)
        threads[-1].start()
        return ours

    yield start
    for end in ends:
        end.close()
    for thread in threads:
        thread.join()


@dataclass
class Worker:
    """A real worker process and the parent's ends of its channels."""

    popen: subprocess.Popen[bytes]
    idle: socket.socket
    demand: socket.socket


@pytest.fixture
def worker() -> Iterator[Worker]:
    """Start a worker process; kill it at the end if it is still there."""
    idle, their_idle = socket.socketpair()
    demand, their_demand = socket.socketpair()
    with idle, demand, their_idle, their_demand:
        popen = subprocess.Popen(
            [*WORKER, str(their_idle.fileno()), str(their_demand.fileno()), str(os.getpid()), "openssl"],
            pass_fds=(their_idle.fileno(), their_demand.fileno()),
        )
        their_idle.close()
        their_demand.close()
        with popen:
            yield Worker(popen, idle, demand)
            popen.kill()


def test_each_byte_is_answered_by_one_key_pair(lane_to: Callable[[Callable[[], KeyPair]], socket.socket]) -> None:
    numbers = iter(range(3))
    channel = lane_to(lambda: KeyPair(public_key_der=b"public", private_key_pem=b"private %d" % next(numbers)))
    channel.sendall(b"\x01\x01")
    channel.sendall(b"\x01")
    assert [receive_frame(channel) for _ in range(3)] == [(b"public", b"private %d" % n) for n in range(3)]
    channel.shutdown(socket.SHUT_WR)
    assert channel.recv(1) == b""


def test_failed_generation_is_announced_by_name_and_ends_the_channel(
    lane_to: Callable[[Callable[[], KeyPair]], socket.socket],
) -> None:
    def no_entropy() -> KeyPair:
        raise OSError("the entropy source said: secret detail")

    channel = lane_to(no_entropy)
    channel.sendall(b"\x01\x01")
    assert receive_frame(channel) == (b"", b"OSError")
    assert channel.recv(1) == b""


def test_frame_is_wiped_when_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[bytearray] = []

    def remember(public: bytes, private: bytes) -> bytearray:
        frames.append(encode_frame(public, private))
        return frames[-1]

    monkeypatch.setattr(key_worker, "encode_frame", remember)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"\x01")
        ours.shutdown(socket.SHUT_WR)
        serve_channel(theirs, lambda: KeyPair(public_key_der=b"public", private_key_pem=b"private"))
        assert receive_frame(ours) == (b"public", b"private")
    assert [bytes(frame) for frame in frames] == [bytes(FRAME_HEADER.size + len(b"publicprivate"))]


def test_both_lanes_of_a_worker_deliver_matching_rsa_keys(worker: Worker) -> None:
    for channel in (worker.idle, worker.demand):
        channel.sendall(b"\x01")
        public, private = receive_frame(channel)
        private_key = load_pem_private_key(private, None)
        assert private.startswith(b"-----BEGIN RSA PRIVATE KEY-----\n")
        assert isinstance(private_key, rsa.RSAPrivateKey)
        assert private_key.key_size == 2048
        assert private_key.public_key() == load_der_public_key(public)


@pytest.mark.skipif(sys.platform != "linux", reason="scheduling policies of threads are Linux's")
def test_idle_channel_yields_to_everyone_and_demand_channel_to_the_service(worker: Worker) -> None:
    worker.idle.sendall(b"\x01")
    worker.demand.sendall(b"\x01")
    receive_frame(worker.idle)
    receive_frame(worker.demand)
    threads = {int(name) for name in os.listdir(f"/proc/{worker.popen.pid}/task")}  # noqa: PTH208 - names are wanted
    [idle_thread] = threads - {worker.popen.pid}
    assert os.sched_getscheduler(idle_thread) == os.SCHED_IDLE
    assert os.sched_getscheduler(worker.popen.pid) == os.SCHED_OTHER
    own_nice = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, worker.popen.pid) == min(19, own_nice + key_worker.DEMAND_NICE)


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_worker_leaves_no_core_dump(worker: Worker) -> None:
    worker.demand.sendall(b"\x01")
    receive_frame(worker.demand)
    assert resource.prlimit(worker.popen.pid, resource.RLIMIT_CORE) == (0, 0)


@pytest.mark.parametrize("signal_to_group", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_to_the_process_group_does_not_end_a_worker(worker: Worker, signal_to_group: signal.Signals) -> None:
    worker.demand.sendall(b"\x01")
    receive_frame(worker.demand)
    worker.popen.send_signal(signal_to_group)
    worker.demand.sendall(b"\x01")
    assert receive_frame(worker.demand)[0]


@pytest.mark.parametrize("channel", ["idle", "demand"])
def test_worker_ends_when_its_parent_closes_either_channel(worker: Worker, channel: str) -> None:
    closed: socket.socket = getattr(worker, channel)
    closed.close()
    assert worker.popen.wait(30) == 0


def test_worker_of_a_parent_that_is_gone_ends_at_once() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ended = subprocess.run(
            [*WORKER, str(theirs.fileno()), str(theirs.fileno()), "1", "openssl"],
            pass_fds=(theirs.fileno(),),
            timeout=30,
            check=False,
        )
    assert ended.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the signal at the parent's death is Linux's")
def test_worker_dies_with_a_parent_that_was_killed_although_its_lanes_stay_open() -> None:
    idle, their_idle = socket.socketpair()
    demand, their_demand = socket.socketpair()
    with idle, demand, their_idle, their_demand:
        descriptors = (their_idle.fileno(), their_demand.fileno())
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT_TO_BE_KILLED, *map(str, descriptors), *WORKER],
            pass_fds=descriptors,
            stdout=subprocess.PIPE,
        )
        with parent:
            assert parent.stdout is not None
            pid_descriptor = os.pidfd_open(int(parent.stdout.readline()))
            demand.sendall(b"\x01")
            assert receive_frame(demand)[0]
            parent.kill()
        wait_for_end(pid_descriptor)
        os.close(pid_descriptor)


def test_idle_thread_is_made_nice_where_its_policy_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    increments: list[int] = []
    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    monkeypatch.setattr(os, "nice", increments.append)
    key_worker.yield_to_everyone()
    assert increments == [key_worker.IDLE_NICE]
