"""Responses without a known end: they go out in parts, wait for slow readers, and end when their client has gone."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.devices.device_identities import server_identity
from tests.support.machine.live_server import GENEROUS, LiveServer, live_server
from tests.support.machine.loop_thread import LOOPS

from thingmint.rest.asgi_messages import HTTPScope, Receive, Send
from thingmint.rest.http.tls import server_tls_context

GET = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /events HTTP/1.1\r\nHost: localhost\r\n"
PART = b"data: " + b"x" * 65_530 + b"\n\n"


class Events:
    """An application that sends events until its client is gone; `go` lets it send one."""

    def __init__(self, headers: tuple[tuple[bytes, bytes], ...] = (), part: bytes = b"data: 1\n\n") -> None:
        self.headers, self.part = headers, part
        self.go = threading.Semaphore(0)
        self.sent = 0
        self.has_left = threading.Event()
        self.end = threading.Event()

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": self.headers})
        sending = asyncio.create_task(self._send_events(send))
        leaving = asyncio.create_task(self._wait_for_disconnect(receive))
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        sending.cancel()
        if not self.has_left.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        leaving.cancel()

    async def _send_events(self, send: Send) -> None:
        while not self.end.is_set():
            if self.go.acquire(blocking=False):
                await send({"type": "http.response.body", "body": self.part, "more_body": True})
                self.sent += 1
            else:
                await asyncio.sleep(0.005)

    async def _wait_for_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.has_left.set()


@contextlib.contextmanager
def serving(events: Events, loop_name: str, tls: ssl.SSLContext | None = None) -> Iterator[LiveServer]:
    with live_server(loop_name=loop_name, tls=tls, application=events) as live:
        yield live


@pytest.fixture(params=sorted(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def read_until(client: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        piece = client.recv(65536)
        assert piece, received
        received += piece
    return received


def test_each_event_arrives_before_the_next_is_sent(loop_name: str) -> None:
    events = Events(((b"content-type", b"text/event-stream"),))
    with serving(events, loop_name) as live, live.client() as client:
        client.send(GET)
        head = read_until(client.socket, b"\r\n\r\n").lower()
        assert b"\r\ntransfer-encoding: chunked\r\n" in head
        assert b"content-length" not in head
        for _ in range(3):
            events.go.release()
            assert read_until(client.socket, b"\n\n\r\n") == b"9\r\ndata: 1\n\n\r\n"
        events.end.set()
        assert read_until(client.socket, b"0\r\n\r\n") == b"0\r\n\r\n"
        # The connection goes on.
        client.send(GET)
        assert read_until(client.socket, b"0\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


def test_stream_waits_for_a_client_that_does_not_read(loop_name: str) -> None:
    events = Events(part=PART)
    events.go.release(10_000)
    with serving(events, loop_name) as live, live.client() as client:
        client.send(GET)
        live.wait_for_reader()
        held = events.sent
        # The kernel keeps some megabytes on the way; the service itself keeps a part or two.
        assert held * len(PART) < 64 * 1024 * 1024
        received = 0
        while received < (held + 4) * len(PART):
            received += len(client.socket.recv(1 << 20))
        live.wait_until(lambda: events.sent > held)
        events.end.set()


@pytest.mark.parametrize("over_tls", [False, True])
def test_client_that_leaves_a_silent_stream_is_reported_to_the_application(
    loop_name: str, over_tls: bool, tmp_path: Path
) -> None:
    events = Events()
    identity = server_identity()
    tls = server_tls_context(*identity.files(tmp_path)) if over_tls else None
    trust = None
    if over_tls:
        (tmp_path / "ca.pem").write_bytes(identity.chain_pem)
        trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with serving(events, loop_name, tls) as live:
        with live.client(trust) as client:
            client.send(GET)
            read_until(client.socket, b"\r\n\r\n")
        assert events.has_left.wait(GENEROUS)
        live.wait_until(lambda: live.open_connections == 0)


def test_stream_to_http_1_0_ends_with_the_connection(loop_name: str) -> None:
    events = Events()
    events.go.release()
    with serving(events, loop_name) as live, live.client() as client:
        client.send(b"GET /events HTTP/1.0\r\n\r\n")
        received = read_until(client.socket, b"\n\n")
        events.end.set()
        head, _, body = received.partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head.lower()
        assert b"connection: close" in head.lower()
        assert body == b"data: 1\n\n"
        assert client.is_closed_by_server()


def test_head_has_no_body_however_much_the_application_sends(loop_name: str) -> None:
    events = Events()
    events.go.release(5)
    with serving(events, loop_name) as live, live.client() as client:
        client.send(b"HEAD /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        live.wait_until(lambda: events.sent == 5)
        events.end.set()
        received = read_until(client.socket, b"\r\n\r\n")
        client.send(GET)
        assert b"0\r\n\r\n" in received + read_until(client.socket, b"0\r\n\r\n")
        assert received.count(b"HTTP/1.1 200 OK") == 1


@pytest.mark.parametrize(
    "field",
    [(b"location", b"/a\r\nset-cookie: b"), (b"x-a\r\nx-b", b"c"), (b"x-nul", b"\0"), (b"x-feed", b"a\nb")],
)
def test_field_that_would_end_the_head_is_never_written(loop_name: str, field: tuple[bytes, bytes]) -> None:
    events = Events((field,))
    with serving(events, loop_name) as live, live.client() as client:
        response = client.ask(GET)
        assert response is not None
        assert response.status == 500
        assert "set-cookie" not in response.headers


class Misbehaving:
    """An application that sends messages in an order that ASGI does not have, or of another length than it said."""

    def __init__(self, *messages: dict[str, object]) -> None:
        self.messages = messages

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        for message in self.messages:
            await send(message)  # type: ignore[arg-type]  # wrong on purpose


START: dict[str, object] = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}


def body(data: bytes, *, more: bool = False) -> dict[str, object]:
    return {"type": "http.response.body", "body": data, "more_body": more}


@pytest.mark.parametrize(
    ("messages", "beginning"),
    [
        ((body(b"ab"),), b"HTTP/1.1 500 "),
        ((), b"HTTP/1.1 500 "),
        ((START, START), b"HTTP/1.1 200 "),
        ((START, body(b"abc")), b"HTTP/1.1 200 "),
        ((START, body(b"a")), b"HTTP/1.1 200 "),
        ((START, body(b"a", more=True)), b"HTTP/1.1 200 "),
    ],
)
def test_application_that_breaks_the_interface_ends_its_connection(
    loop_name: str, messages: tuple[dict[str, object], ...], beginning: bytes
) -> None:
    with live_server(loop_name=loop_name, application=Misbehaving(*messages)) as live, live.client() as client:
        client.send(GET)
        received = b""
        while piece := client.socket.recv(65536):
            received += piece
        assert received.startswith(beginning)
        assert not received.endswith(b"abc")


def test_what_is_sent_after_the_end_of_a_response_is_not_written(loop_name: str) -> None:
    application = Misbehaving(START, body(b"ab"), body(b"cd"))
    with live_server(loop_name=loop_name, application=application) as live, live.client() as client:
        for _ in range(2):
            response = client.ask(GET)
            assert response is not None
            assert (response.status, response.body) == (200, b"ab")


class Uploads:
    """An application that takes a body when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.received = 0

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        while not self.go.is_set():  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.005)
        more = True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            self.received += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


def test_body_that_the_application_does_not_take_stays_with_the_client(loop_name: str) -> None:
    size = 64 * 1024 * 1024
    uploads = Uploads()
    with live_server(loop_name=loop_name, application=uploads) as live, live.client() as client:
        client.send(POST + b"Content-Length: %d\r\n\r\n" % size)
        client.socket.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < size:
                sent += client.socket.send(b"x" * min(65536, size - sent))
        assert sent < size
        client.socket.settimeout(GENEROUS)
        uploads.go.set()
        client.socket.sendall(b"x" * (size - sent))
        response = client.response()
        assert response is not None
        assert response.status == 204
        assert uploads.received == size
