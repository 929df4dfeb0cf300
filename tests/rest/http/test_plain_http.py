"""Plain HTTP on the port that speaks HTTPS gets an answer that says so."""

import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.devices.device_identities import server_identity
from tests.support.machine.live_server import LiveServer, live_server
from tests.support.machine.loop_thread import GENEROUS, LOOPS

from thingmint.rest.http.limits import Limits
from thingmint.rest.http.plain_http import is_plain_http
from thingmint.rest.http.tls import server_tls_context

HANDSHAKE_SECONDS = 2.0


@pytest.fixture(params=sorted(LOOPS))
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LiveServer]:
    context = server_tls_context(*server_identity().files(tmp_path))
    limits = Limits(linger_seconds=0.5, handshake_seconds=HANDSHAKE_SECONDS)
    with live_server(loop_name=str(request.param), tls=context, limits=limits) as running:
        yield running


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_plain_request_is_answered_400_with_a_sentence(live: LiveServer, method: str) -> None:
    client = http.client.HTTPConnection("127.0.0.1", live.server.port, timeout=GENEROUS)
    try:
        client.request(method, "/things", body=None if method in ("GET", "HEAD") else b"{}" * 1000)
        response = client.getresponse()
        assert response.status == 400
        assert response.headers["Content-Type"] == "application/json"
        if method != "HEAD":
            assert "https://" in json.loads(response.read())["message"]
    finally:
        client.close()
    live.wait_until(lambda: live.open_connections == 0)


def test_answer_to_plain_head_has_no_body(live: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", live.server.port), timeout=GENEROUS) as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while piece := client.recv(65536):
            received += piece
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.endswith(b"\r\n\r\n")


def test_tls_is_served_as_before(live: LiveServer, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(server_identity().chain_pem)
    with live.client(ssl.create_default_context(cafile=str(path))) as client:
        answer = client.ask(b"GET /things HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer is not None
        assert answer.status == 200


@pytest.mark.parametrize("beginning", [b"", b"\x10\x0c\x00\x04MQTT", b"get / HTTP/1.1\r\n\r\n", b"\x00"])
def test_other_beginnings_end_the_connection(live: LiveServer, beginning: bytes) -> None:
    with socket.create_connection(("127.0.0.1", live.server.port), timeout=GENEROUS) as client:
        client.sendall(beginning)
        client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            assert not client.recv(100).startswith(b"HTTP")
    live.wait_until(lambda: live.open_connections == 0)


def test_first_byte_and_handshake_share_one_time_limit(live: LiveServer) -> None:
    address = ("127.0.0.1", live.server.port)
    with socket.create_connection(address, timeout=GENEROUS) as late:
        time.sleep(0.45 * HANDSHAKE_SECONDS)
        with socket.create_connection(address, timeout=GENEROUS) as later:
            time.sleep(0.1 * HANDSHAKE_SECONDS)
            late.sendall(b"\x16")
            with contextlib.suppress(ConnectionError):
                assert late.recv(100) == b""
            later.setblocking(False)
            with pytest.raises(BlockingIOError):
                later.recv(100)


def test_only_requests_are_plain_http() -> None:
    assert is_plain_http(b"GET / HT")
    assert is_plain_http(b"PROPFIND")
    assert not is_plain_http(b"\x16\x03\x01\x02\x00\x01\x00\x01")
    assert not is_plain_http(b"")
    assert not is_plain_http(b"GE")
