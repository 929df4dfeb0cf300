"""TLS: what is offered, what is refused, how a certificate is replaced, and what a handshake may cost."""

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.machine.live_server import (
    GENEROUS,
    Client,
    LiveServer,
    client_tls_context,
    live_server,
    write_certificate,
)
from tests.support.machine.loop_thread import LOOPS

from thingmint.rest.http.limits import Limits
from thingmint.rest.http.tls import server_tls_context

GET = b"GET /things HTTP/1.1\r\nHost: localhost\r\n\r\n"
NEVER = 600.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"), "first")


@pytest.fixture
def server_context(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return server_tls_context(*certificate)


@pytest.fixture
def trust(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    return client_tls_context(certificate[0])


@pytest.fixture(params=sorted(LOOPS))
def live(request: pytest.FixtureRequest, server_context: ssl.SSLContext) -> Iterator[LiveServer]:
    with live_server(loop_name=request.param, tls=server_context, limits=Limits(linger_seconds=0.2)) as running:
        yield running


def secured(client: Client) -> ssl.SSLSocket:
    assert isinstance(client.socket, ssl.SSLSocket)
    return client.socket


def is_served(client: Client) -> bool:
    response = client.ask(GET)
    return response is not None and response.status == 200


def test_requests_are_served_over_tls_1_3_without_tickets(live: LiveServer, trust: ssl.SSLContext) -> None:
    trust.set_alpn_protocols(["h2", "http/1.1"])
    with live.client(trust) as client:
        assert is_served(client)
        assert secured(client).version() == "TLSv1.3"
        assert secured(client).selected_alpn_protocol() == "http/1.1"
        assert secured(client).compression() is None
        session = secured(client).session
        assert session is None or not session.has_ticket


def test_tls_1_2_has_forward_secrecy_and_aead_only(live: LiveServer, trust: ssl.SSLContext) -> None:
    trust.maximum_version = ssl.TLSVersion.TLSv1_2
    with live.client(trust) as client:
        assert is_served(client)
        cipher = secured(client).cipher()
        assert cipher is not None
        assert cipher[0].startswith("ECDHE-")
    trust.set_ciphers("AES128-SHA256:AES256-SHA:ECDHE-ECDSA-AES128-SHA256")
    with pytest.raises(ssl.SSLError):
        live.client(trust)


def test_large_request_and_response_pass_through_tls(live: LiveServer, trust: ssl.SSLContext) -> None:
    with live.client(trust) as client:
        head = b"POST /things HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n"
        response = client.ask(head + b"x" * 900_000)
        assert response is not None
        assert b'"body": 900000' in response.body
        response = client.ask(b"GET /large/3000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert response is not None
        assert len(response.body) == 3_000_000


def test_bad_request_is_refused_over_tls_too(live: LiveServer, trust: ssl.SSLContext) -> None:
    with live.client(trust) as client:
        response = client.ask(b"nonsense\r\n\r\n")
        assert response is not None
        assert response.status == 400
        assert client.is_closed_by_server()


def test_half_sent_head_is_answered_408_over_tls(server_context: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    limits = Limits(header_seconds=NEVER, linger_seconds=0.1)
    with live_server(tls=server_context, limits=limits) as live, live.client(trust) as client:
        client.send(GET[:-2])
        live.wait_for_half_a_head()
        live.let_pass(NEVER + 1)
        response = client.response()
        assert response is not None
        assert response.status == 408
        assert client.is_closed_by_server()


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x00" * 100])
def test_what_is_not_tls_is_closed_and_the_server_stays(live: LiveServer, trust: ssl.SSLContext, sent: bytes) -> None:
    with live.client() as plain:
        plain.send(sent)
        while not plain.is_closed_by_server():
            pass  # OpenSSL may send an alert first
    live.wait_until(lambda: live.open_connections == 0)
    with live.client(trust) as client:
        assert is_served(client)


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_handshake_that_never_ends_is_cut_off(loop_name: str, server_context: ssl.SSLContext) -> None:
    limits = Limits(handshake_seconds=0.1)
    with live_server(loop_name=loop_name, tls=server_context, limits=limits) as live, live.client() as client:
        live.wait_until(lambda: live.open_connections == 1)
        assert client.is_closed_by_server()
        live.wait_until(lambda: live.open_connections == 0)


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_connections_in_their_handshake_are_counted_and_make_room(
    loop_name: str, server_context: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    limits = Limits(max_connections=2, handshake_seconds=NEVER)
    with (
        live_server(loop_name=loop_name, tls=server_context, limits=limits) as live,
        live.client() as first,
        live.client() as second,
    ):
        live.wait_until(lambda: live.open_connections == 2)
        with live.client(trust) as honest:
            assert is_served(honest)
            assert first.is_closed_by_server()
            assert live.open_connections == 2
            second.socket.setblocking(False)
            with pytest.raises(BlockingIOError):
                second.socket.recv(1)


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_stop_ends_handshakes_and_idle_connections(
    loop_name: str, server_context: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    limits = Limits(handshake_seconds=NEVER, close_seconds=NEVER)
    with (
        live_server(loop_name=loop_name, tls=server_context, limits=limits) as live,
        live.client() as handshaking,
        live.client(trust) as idle,
    ):
        assert is_served(idle)
        live.wait_until(lambda: live.open_connections == 2)
        live.run(live.server.stop(5.0))
        assert live.open_connections == 0
        assert handshaking.is_closed_by_server()
        assert idle.is_closed_by_server()


def test_replaced_certificate_serves_new_connections_and_old_ones_go_on(
    live: LiveServer, trust: ssl.SSLContext, tmp_path: Path
) -> None:
    replacement = write_certificate(tmp_path, "second")
    with live.client(trust) as before:
        assert is_served(before)
        context = server_tls_context(*replacement)
        live.loop.call_soon_threadsafe(live.server.use_tls_context, context)
        with live.client(client_tls_context(replacement[0])) as after:
            assert is_served(after)
        with pytest.raises(ssl.SSLCertVerificationError):
            live.client(trust)
        assert is_served(before)


def test_certificate_and_key_of_different_pairs_are_refused(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    _, other_key = write_certificate(tmp_path, "other")
    with pytest.raises(ssl.SSLError):
        server_tls_context(certificate[0], other_key)


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
def test_reader_that_never_reads_is_cut_off_over_tls(
    loop_name: str, server_context: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    limits = Limits(write_stall_seconds=0.2, close_seconds=0.2)
    with live_server(loop_name=loop_name, tls=server_context, limits=limits) as live:
        plain = socket.create_connection(("127.0.0.1", live.server.port), timeout=GENEROUS)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with trust.wrap_socket(plain, server_hostname="localhost") as reader:
            reader.sendall(b"GET /large/5000000 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
            live.wait_until(lambda: bool(live.application.served))
            live.wait_until(lambda: live.open_connections == 0)
            assert len(live.application.served) < 5
