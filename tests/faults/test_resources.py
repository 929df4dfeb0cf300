"""Descriptors and memory run out under a running service: it neither spins nor falls, and is healthy afterwards."""

import contextlib
import resource
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clients.client import client_of, create_keys
from tests.support.machine.wire import WireAnswer, answers, exchange
from tests.support.services.processes import busy_seconds, peak_memory_bytes
from tests.support.services.service import Service, running_service

MEBIBYTE = 1024 * 1024
MEMORY = 512 * MEBIBYTE
HOST = b"Host: localhost\r\n"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prlimit and /proc are Linux's")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service over plain HTTP, so that what fills its memory is what was sent."""
    with running_service(tmp_path / "data", "--insecure-http", key_reserve=2) as service:
        yield service


@contextlib.contextmanager
def silent_connections(service: Service, count: int, port: int | None = None) -> Iterator[list[socket.socket]]:
    """Open connections to the API or another port; whoever opens them decides what they say."""
    address = ("127.0.0.1", port or service.endpoints.api_port)
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(count)]


def health(service: Service) -> WireAnswer:
    [answer] = answers(
        exchange(service.endpoints.api_port, b"GET /readyz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    )
    return answer


@contextlib.contextmanager
def limited(service: Service, which: int, limit: int) -> Iterator[None]:
    """Give the process less than it has, and give it back."""
    pid = service.process.pid
    before = resource.prlimit(pid, which)
    resource.prlimit(pid, which, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, which, before)


@contextlib.contextmanager
def scarce_service(tmp_path: Path, descriptors: int) -> Iterator[Service]:
    """Yield a service that can never have more descriptors than these."""
    limited_shell = ("sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh")
    with running_service(tmp_path / "data", "--insecure-http", key_reserve=2, before=limited_shell) as service:
        yield service


def wait_for_line(service: Service, text: str) -> None:
    deadline = time.monotonic() + 60.0
    while text not in service.log:
        assert time.monotonic() < deadline, service.log
        assert health(service).status == 200
        time.sleep(0.2)


def test_floods_on_both_ports_leave_descriptors_for_the_rest(tmp_path: Path) -> None:
    with scarce_service(tmp_path, 300) as service:
        devices = service.endpoints.mqtt_port
        with silent_connections(service, 350), silent_connections(service, 350, devices):
            assert health(service).status == 200
            assert create_keys(client_of(service)).private_key_pem
            # What is open now, beside so many connections as there may be, is the most that there will be.
            assert len(list(Path(f"/proc/{service.process.pid}/fd").iterdir())) < 250
            # Devices that say nothing give way after three seconds.
            wait_for_line(service, "device connections were turned away")
        assert "cannot accept" not in service.log
        # An operator sees that there is a flood, and is not flooded by it.
        for whose in ("API", "device"):
            assert 1 <= service.log.count(f"{whose} connections were turned away for lack of room") <= 3


def test_service_without_descriptors_rests_serves_and_recovers(service: Service) -> None:
    open_descriptors = len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))
    with limited(service, resource.RLIMIT_NOFILE, open_descriptors + 20), silent_connections(service, 28):
        # A loop that spins on a socket it cannot accept would compute all the time.
        assert busy_seconds(service.process.pid, over=1.0) < 0.5
        # An honest client is served in the place of a silent one.
        assert health(service).status == 200
        client = client_of(service)
        assert create_keys(client).private_key_pem
    assert health(service).status == 200
    assert create_keys(client_of(service)).private_key_pem
    assert service.process.poll() is None


def send_what_is_taken(connection: socket.socket, sent: bytes) -> None:
    """Send until the service refuses."""
    with contextlib.suppress(OSError):
        connection.sendall(sent)


def test_hostile_bodies_and_headers_do_not_take_the_memory(service: Service) -> None:
    body = b"[" * (MEBIBYTE - 1)
    with limited(service, resource.RLIMIT_DATA, MEMORY), silent_connections(service, 240) as connections:
        for number, connection in enumerate(connections):
            if number % 3 == 0:
                # All but one byte of a body that may be sent.
                head = b"POST /certificates HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % MEBIBYTE
                send_what_is_taken(connection, head + body)
            elif number % 3 == 1:
                # One header without end.
                send_what_is_taken(connection, b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * MEBIBYTE)
            else:
                # Many requests at once, whose answers nobody reads.
                send_what_is_taken(connection, (b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n") * 200)
        assert health(service).status == 200
    assert health(service).status == 200
    assert create_keys(client_of(service)).private_key_pem
    assert service.process.poll() is None
    assert "Traceback" not in service.log
    peak = peak_memory_bytes(service.process.pid)
    print(f"at most {peak // MEBIBYTE} MiB were resident")
    assert peak < MEMORY
