"""Clients of the API that are slow, but go on, are served however many others ask for their places."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.devices.device_identities import server_identity
from tests.support.devices.slow_devices import bring_all_in
from tests.support.machine.live_server import LiveServer, live_server
from tests.support.machine.loop_thread import GENEROUS

from thingmint.rest.http.eviction import FIRST_BYTES_SECONDS, gives_way, has_received, longest_stalled
from thingmint.rest.http.limits import Limits
from thingmint.rest.http.tls import server_tls_context

HOST = b"Host: localhost\r\n"
GET = b"GET /things HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /things HTTP/1.1\r\n" + HOST


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    return server_tls_context(*server_identity().files(tmp_path))


@pytest.fixture
def trust(tmp_path: Path) -> ssl.SSLContext:
    path = tmp_path / "ca.pem"
    path.write_bytes(server_identity().chain_pem)
    return ssl.create_default_context(cafile=str(path))


def test_slow_handshakes_come_to_their_end_however_many_there_are(tls: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    with live_server(tls=tls, limits=Limits(max_connections=10)) as live:
        tries = asyncio.run(bring_all_in(live.server.port, trust, count=40, thinking=0.3, first_bytes=GET))
    assert tries.connected == 40
    assert tries.attempts < 8 * 40


@pytest.mark.parametrize("beginning", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01"])
def test_slow_handshake_is_finished_beside_a_flood_of_another_address(
    tls: ssl.SSLContext, trust: ssl.SSLContext, beginning: bytes
) -> None:
    with live_server(tls=tls, limits=Limits(max_connections=20)) as live, contextlib.ExitStack() as stack:
        for _ in range(60):
            open_from("127.0.0.2", live, stack).sendall(beginning)
        tries = asyncio.run(bring_all_in(live.server.port, trust, count=3, thinking=1.0, first_bytes=GET))
    assert (tries.connected, tries.attempts) == (3, 3)


def open_from(address: str, live: LiveServer, stack: contextlib.ExitStack) -> socket.socket:
    return stack.enter_context(
        socket.create_connection(("127.0.0.1", live.server.port), timeout=GENEROUS, source_address=(address, 0))
    )


def test_slow_body_is_finished_beside_half_sent_ones() -> None:
    with live_server(limits=Limits(max_requests=4)) as live, live.client() as slow, contextlib.ExitStack() as stack:
        slow.send(POST + b"Content-Length: 20\r\n\r\n")
        assert live.application.started.acquire(timeout=GENEROUS)
        for _ in range(19):
            half = stack.enter_context(live.client())
            half.send(POST + b"Content-Length: 10\r\n\r\nhalf")
            assert live.application.started.acquire(timeout=GENEROUS)
            slow.send(b".")
            # The byte must be read before the next comes.
            time.sleep(0.02)
        answer = slow.ask(b".")
        assert answer is not None
        assert answer.status == 200


class Place:
    """A connection as its owner sees it."""

    def __init__(
        self, network: str, *, idle: float | None = None, spoken: bool = True, accepted_at: float = 0.0
    ) -> None:
        self.network, self.idle_since, self.has_spoken = network, idle, spoken
        self.accepted_at = accepted_at
        self.is_established = idle is not None


NOW = 100.0


def test_those_that_have_said_nothing_in_their_time_give_way_first() -> None:
    places = [Place("a"), Place("b", spoken=False), Place("c", spoken=False), Place("d", idle=1.0)]
    assert gives_way(places, "e", NOW) is places[1]


def test_connection_that_was_just_accepted_keeps_its_place_until_it_can_speak() -> None:
    flood = [Place("b", accepted_at=NOW) for _ in range(5)]
    first, second = Place("a", spoken=False, accepted_at=NOW), Place("c", spoken=False, accepted_at=NOW)
    idle = Place("a", idle=3.0)
    assert gives_way([*flood, first], "a", NOW) is flood[-1]
    assert gives_way([*flood, first, second], "a", NOW) is flood[-1]
    assert gives_way([first, idle], "a", NOW) is idle
    assert gives_way([first, second], "b", NOW) is None
    assert gives_way([first, second], "b", NOW + FIRST_BYTES_SECONDS) is first
    assert gives_way([first, second], "a", NOW) is first


def test_silent_connections_of_one_network_give_way_before_idle_ones() -> None:
    flood = [Place("b", spoken=number == 0, accepted_at=NOW) for number in range(3)]
    assert gives_way([*flood, Place("c", idle=3.0)], "a", NOW) is flood[1]


def test_longest_idle_connection_gives_way_before_any_handshake() -> None:
    places = [Place("a"), Place("a", idle=2.0), Place("a", idle=1.0)]
    assert gives_way(places, "b", NOW) is places[2]


def test_handshakes_give_way_to_a_network_that_has_fewer() -> None:
    places = [Place("a"), Place("a"), Place("b")]
    assert gives_way(places, "c", NOW) is places[1]
    assert gives_way(places, "b", NOW) is None
    assert gives_way([], "a", NOW) is None


def test_request_that_stalls_longest_is_that_of_the_network_with_most() -> None:
    waiting = [("a", 1.0), ("b", 3.0), ("b", 2.0)]
    assert longest_stalled(waiting, lambda each: each[0], lambda each: each[1]) == ("b", 2.0)
    none: list[tuple[str, float]] = []
    assert longest_stalled(none, lambda each: each[0], lambda each: each[1]) is None


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        with client, accepted:
            yield client, accepted


def test_kernel_tells_whether_anything_has_arrived(pair: tuple[socket.socket, socket.socket]) -> None:
    client, accepted = pair
    assert not has_received(accepted)
    client.sendall(b".")
    assert accepted.recv(1) == b"."
    assert has_received(accepted)
    accepted.close()
    assert not has_received(accepted)
