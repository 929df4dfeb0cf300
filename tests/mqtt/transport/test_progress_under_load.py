"""A fleet that comes back at once comes in, however slow its handshakes and whoever else comes. Counts, no times."""

import asyncio
import contextlib
import resource
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.devices.device_identities import client_context, new_identity
from tests.support.devices.slow_devices import bring_all_in
from tests.support.devices.tls_echo import EchoServer, echo_server
from tests.support.machine.loop_thread import GENEROUS
from tests.support.machine.soak import SOAK, examples

from thingmint.mqtt.transport.limits import GatewayLimits

ADMIT = b"A"
FEW_PLACES = GatewayLimits(max_strangers=20, max_waiting=400, silent_seconds=0.5)
FLOOD = 120


@pytest.fixture
def device(tmp_path: Path) -> ssl.SSLContext:
    return client_context(tmp_path, new_identity())


@pytest.fixture
def server() -> Iterator[EchoServer]:
    with echo_server(limits=FEW_PLACES) as running:
        yield running


@pytest.mark.parametrize("thinking", [0.0, 0.3])
@pytest.mark.parametrize("addresses", [1, 200])
def test_fleet_comes_in_at_the_first_attempt(device: ssl.SSLContext, thinking: float, addresses: int) -> None:
    # The clients run in this process, so on a slow machine they may be silent for longer than they intend.
    patient = replace(FEW_PLACES, silent_seconds=GENEROUS, handshake_seconds=GENEROUS, connect_seconds=GENEROUS)
    sources = [f"127.0.1.{number + 1}" for number in range(addresses)]
    with echo_server(limits=patient) as server:
        tries = asyncio.run(
            bring_all_in(server.port, device, count=200, thinking=thinking, first_bytes=ADMIT, sources=sources)
        )
    assert (tries.connected, tries.attempts) == (200, 200)


@pytest.mark.soak
@pytest.mark.parametrize("thinking", [1.0, 5.0] if SOAK else [0.5])
def test_fleet_behind_one_address_needs_hardly_a_second_attempt(device: ssl.SSLContext, thinking: float) -> None:
    count = examples(300, 2000)
    with enough_descriptors(), echo_server() as server:
        tries = asyncio.run(bring_all_in(server.port, device, count=count, thinking=thinking, first_bytes=ADMIT))
    assert tries.connected == count
    assert tries.attempts <= 1.1 * count


@contextlib.contextmanager
def enough_descriptors() -> Iterator[None]:
    """Let this process have both ends of each connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_fleet_that_does_not_fit_waits_in_the_kernels_queue(device: ssl.SSLContext) -> None:
    # What little is refused is the price of seeing whether other addresses wait, too.
    with echo_server(limits=GatewayLimits(max_strangers=20, max_waiting=20)) as server:
        tries = asyncio.run(bring_all_in(server.port, device, count=150, thinking=0.2, first_bytes=ADMIT))
    assert tries.connected == 150
    assert tries.attempts < 2 * 150


def say_nothing(connection: socket.socket) -> None:
    pass


def stop_in_the_handshake(connection: socket.socket) -> None:
    connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01")


def half_close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


FLOODS: dict[str, Callable[[socket.socket], None]] = {
    "silent": say_nothing,
    "half a handshake": stop_in_the_handshake,
    "half closed": half_close,
    "reset": reset,
}


def flooded(server: EchoServer, kind: str, sources: list[str]) -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    for number in range(FLOOD):
        source = (sources[number % len(sources)], 0)
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS, source_address=source)
        stack.enter_context(connection)
        FLOODS[kind](connection)
    return stack


@pytest.mark.parametrize("kind", sorted(FLOODS))
@pytest.mark.parametrize("thinking", [0.0, 1.5])
def test_flood_of_one_address_keeps_no_other_out(
    server: EchoServer, device: ssl.SSLContext, kind: str, thinking: float
) -> None:
    with flooded(server, kind, ["127.0.0.2"]):
        tries = asyncio.run(bring_all_in(server.port, device, count=5, thinking=thinking, first_bytes=ADMIT))
    assert (tries.connected, tries.attempts) == (5, 5)


@pytest.mark.parametrize("sources", ["its own address", "many addresses"])
def test_silent_flood_does_not_keep_slow_devices_out(server: EchoServer, device: ssl.SSLContext, sources: str) -> None:
    addresses = ["127.0.0.1"] if sources == "its own address" else [f"127.0.2.{number}" for number in range(1, FLOOD)]
    with flooded(server, "silent", addresses):
        tries = asyncio.run(bring_all_in(server.port, device, count=5, thinking=1.5, first_bytes=ADMIT))
    assert (tries.connected, tries.attempts) == (5, 5)


@pytest.mark.parametrize("sources", ["its own address", "many addresses"])
def test_devices_take_the_places_of_silent_connections_where_there_is_no_room(
    device: ssl.SSLContext, sources: str
) -> None:
    addresses = ["127.0.0.1"] if sources == "its own address" else [f"127.0.2.{number}" for number in range(1, FLOOD)]
    with echo_server(limits=GatewayLimits(max_connections=20)) as server, flooded(server, "silent", addresses):
        tries = asyncio.run(bring_all_in(server.port, device, count=5, thinking=1.0, first_bytes=ADMIT))
    assert tries.connected == 5


def test_handshakes_without_connect_do_not_keep_slow_devices_out(server: EchoServer, device: ssl.SSLContext) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(25):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS))
            stack.enter_context(device.wrap_socket(plain, server_hostname="localhost"))
        tries = asyncio.run(bring_all_in(server.port, device, count=5, thinking=1.5, first_bytes=ADMIT))
    assert (tries.connected, tries.attempts) == (5, 5)


def test_device_that_speaks_byte_by_byte_meets_its_time_limit(device: ssl.SSLContext) -> None:
    with (
        echo_server(limits=GatewayLimits(handshake_seconds=0.5)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=0.05) as slow,
    ):
        while not is_cut_off(slow):
            pass
        assert server.protocols == []


def is_cut_off(slow: socket.socket) -> bool:
    try:
        slow.sendall(b"\x16")
        return slow.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True
