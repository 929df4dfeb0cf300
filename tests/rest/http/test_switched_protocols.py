"""Connections that an application gives to another protocol, and when the server does not let it."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.machine.live_server import GENEROUS, Client, LiveServer, live_server
from tests.support.machine.loop_thread import LOOPS

from thingmint.rest.answers import Answer, send_answer
from thingmint.rest.asgi_messages import HTTPScope, Receive, Send
from thingmint.rest.front import Front, Mounted, RequestLimits

_ID = "0" * 36
UPGRADE = b"Connection: Upgrade\r\nUpgrade: echo\r\n"


class Echo(asyncio.Protocol):
    """Sends back what it receives, behind a greeting."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"hello")

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Switching:
    """Switches where it can, and answers otherwise."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/later":
            await self.release.wait()
        switch = scope["extensions"].get("switch_protocols")
        if switch is None:
            await send_answer(scope, send, _ID, Answer(200, b"plain"))
        elif not switch((b"upgrade: echo\r\n",), Echo()):
            await send_answer(scope, send, _ID, Answer(400, b"not now"))
        else:
            assert not switch((), Echo())


@pytest.fixture(scope="module", params=sorted(LOOPS))
def live(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    application = Switching()
    front = Front(
        (Mounted(application, lambda _: Answer(418, b"{}"), limits=RequestLimits(10, GENEROUS)),), lambda: _ID
    )
    with live_server(loop_name=request.param, application=front) as running:
        running.switching = application  # type: ignore[attr-defined]  # for the tests of this file
        yield running


def request(path: str = "/", fields: bytes = UPGRADE, version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: localhost\r\n".encode() + fields + b"\r\n"


def received(client: Client, count: int) -> bytes:
    heard = b""
    while len(heard) < count:
        part = client.socket.recv(65_536)
        assert part, heard
        heard += part
    return heard


def switched(client: Client) -> None:
    heard = b""
    while not heard.endswith(b"hello"):
        heard += received(client, 1)
    head, _, rest = heard.partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    assert first == b"HTTP/1.1 101 Switching Protocols"
    assert fields[-1] == b"upgrade: echo"
    assert rest == b"hello"


def test_the_other_protocol_has_the_connection(live: LiveServer) -> None:
    with live.client() as client:
        client.send(request())
        switched(client)
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        assert received(client, 18) == b"GET / HTTP/1.1\r\n\r\n"


def test_it_is_none_of_the_server_s_connections_any_more(live: LiveServer) -> None:
    with live.client() as client:
        client.send(request())
        switched(client)
        live.wait_until(lambda: live.open_connections == 0)
        live.let_pass(1000.0)
        client.send(b"still here")
        assert received(client, 10) == b"still here"


def test_an_earlier_request_on_the_connection_is_answered_first(live: LiveServer) -> None:
    with live.client() as client:
        client.send(request("/", b"") + request())
        heard = b""
        while not heard.endswith(b"hello"):
            heard += received(client, 1)
        assert heard.index(b"plain") < heard.index(b"HTTP/1.1 101")


@pytest.mark.parametrize("behind", [b"x", b"x" * 5000])
def test_a_client_that_has_sent_more_is_not_switched(live: LiveServer, behind: bytes) -> None:
    response = live.ask(request() + behind)
    assert response is not None
    assert (response.status, response.body, response.headers["connection"]) == (400, b"not now", "close")


def test_a_client_that_sends_more_while_it_waits_is_not_switched(live: LiveServer) -> None:
    switching: Switching = live.switching  # type: ignore[attr-defined]  # set by the fixture
    with live.client() as client:
        client.send(request("/later"))
        live.wait_until(lambda: len(live.server._state.tasks) == 1)
        client.send(b"early")
        live.wait_until(lambda: any(protocol._discarded for protocol in live.server.protocols()))
        live.loop.call_soon_threadsafe(switching.release.set)
        response = client.response()
        assert response is not None
        assert response.status == 400
    live.loop.call_soon_threadsafe(switching.release.clear)


def test_a_client_that_has_gone_is_not_switched(live: LiveServer) -> None:
    switching: Switching = live.switching  # type: ignore[attr-defined]  # set by the fixture
    with live.client() as client:
        client.send(request("/later"))
        live.wait_until(lambda: len(live.server._state.tasks) == 1)
    # Without TLS it may still read the answer.
    live.wait_until(lambda: all(protocol._client_is_done for protocol in live.server.protocols()))
    live.loop.call_soon_threadsafe(switching.release.set)
    live.wait_until(lambda: live.open_connections == 0 and not live.server._state.tasks)
    live.loop.call_soon_threadsafe(switching.release.clear)


@pytest.mark.parametrize(
    ("fields", "version"),
    [
        (b"", "1.1"),
        (b"Upgrade: echo\r\n", "1.1"),
        (b"Connection: Upgrade\r\n", "1.1"),
        # RFC 9110, 7.8: a server must ignore Upgrade in HTTP/1.0.
        (UPGRADE, "1.0"),
    ],
)
def test_requests_that_ask_for_nothing_else_are_served_plainly(live: LiveServer, fields: bytes, version: str) -> None:
    response = live.ask(request(fields=fields, version=version))
    assert response is not None
    assert response.body == b"plain"


@pytest.mark.parametrize("length", [b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_request_with_a_body_is_served_plainly(live: LiveServer, length: bytes) -> None:
    body = b"x" if length.startswith(b"Content") else b"1\r\nx\r\n0\r\n\r\n"
    with contextlib.closing(live.client()) as client:
        response = client.ask(request(fields=UPGRADE + length) + body)
        assert response is not None
        assert (response.status, response.body, response.headers["connection"]) == (200, b"plain", "close")


def test_an_empty_body_is_no_body(live: LiveServer) -> None:
    with live.client() as client:
        client.send(request(fields=UPGRADE + b"Content-Length: 0\r\n"))
        switched(client)
