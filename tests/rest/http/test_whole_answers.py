"""Answers that an application gives in one call, and what becomes of them if the connection cannot take them."""

import json
from collections.abc import Iterator, Sequence

import pytest
from tests.support.machine.live_server import GENEROUS, LiveServer, live_server
from tests.support.machine.loop_thread import LOOPS

from thingmint.core.errors import Throttled
from thingmint.rest.answers import Answer, send_answer
from thingmint.rest.asgi_messages import HTTPScope, Receive, Send
from thingmint.rest.front import Front, Mounted, RequestLimits

_ID = "0" * 36


class Answers:
    """An application that answers as its path says, and records what the server said of each answer."""

    def __init__(self) -> None:
        self.written: list[bool] = []

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        whole = scope["extensions"]["whole_answer"]
        if path == "/answer":
            await send_answer(scope, send, _ID, Answer(200, b'{"a":1}'))
        elif path == "/fails-afterwards":
            await send_answer(scope, send, _ID, Answer(200, b"{}"))
            raise Throttled
        elif path == "/twice":
            self.written += [whole(200, (b"x-a: b\r\n",), b"one"), whole(200, (), b"two")]
        elif path == "/after-a-head":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
            self.written.append(whole(200, (), b"two"))
            await send({"type": "http.response.body", "body": b"ab"})
        elif path == "/without-content":
            self.written.append(whole(204, (), b""))
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            whole(200, FIELDS[path], b"never")


FIELDS: dict[str, Sequence[bytes]] = {
    "/line-in-value": (b"location: /a\r\nset-cookie: b\r\n",),
    "/feed-in-value": (b"x-feed: a\nb\r\n",),
    "/nul-in-value": (b"x-nul: \0\r\n",),
    "/no-line-end": (b"x-a: b",),
}


def request(path: str, method: str = "GET", version: str = "1.1", more: bytes = b"") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n".encode() + more + b"\r\n"


@pytest.fixture(scope="module", params=sorted(LOOPS))
def live(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    application = Answers()
    limits = RequestLimits(10, GENEROUS)
    front = Front((Mounted(application, lambda error: Answer(418, b"{}"), limits=limits),), lambda: _ID)
    with live_server(loop_name=request.param, application=front) as running:
        running.answers = application  # type: ignore[attr-defined]  # for the tests of this file
        yield running


def written(live: LiveServer, count: int) -> list[bool]:
    """Return what the server has said of so many answers, as soon as it has: a client may have its answer before."""
    found: list[bool] = live.answers.written  # type: ignore[attr-defined]  # set by the fixture
    live.wait_until(lambda: len(found) >= count)
    said, found[:] = list(found), []
    return said


def test_an_answer_has_its_fields_its_length_and_its_body(live: LiveServer) -> None:
    with live.client() as client:
        for _ in range(2):
            response = client.ask(request("/answer"))
            assert response is not None
            assert (response.status, response.body) == (200, b'{"a":1}')
            assert "date" in response.headers
            del response.headers["date"]
            assert response.headers == {
                "content-type": "application/json",
                "content-length": "7",
                "cache-control": "no-store",
                "x-amzn-requestid": _ID,
            }


def test_the_answer_to_head_has_the_length_and_no_body(live: LiveServer) -> None:
    with live.client() as client:
        client.send(request("/answer", "HEAD") + request("/twice"))
        received = b""
        while not received.endswith(b"one"):
            received += client.socket.recv(65536)
    head, _, rest = received.partition(b"\r\n\r\n")
    assert b"content-length: 7" in head
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert written(live, 2) == [True, False]


def test_an_old_client_gets_its_answer_and_the_end_of_the_connection(live: LiveServer) -> None:
    with live.client() as client:
        response = client.ask(request("/answer", version="1.0"))
        assert response is not None
        assert (response.body, response.headers["connection"]) == (b'{"a":1}', "close")
        assert client.is_closed_by_server()


def test_an_answer_before_the_end_of_the_body_ends_the_connection(live: LiveServer) -> None:
    with live.client() as client:
        response = client.ask(request("/answer", "POST", more=b"Content-Length: 5\r\n"))
        assert response is not None
        assert (response.status, response.headers["connection"]) == (200, "close")


@pytest.mark.parametrize("path", sorted(FIELDS))
def test_a_field_that_would_end_the_head_is_never_written(live: LiveServer, path: str) -> None:
    response = live.ask(request(path))
    assert response is not None
    assert response.status in (418, 500)
    assert "set-cookie" not in response.headers
    assert response.body != b"never"


def test_a_response_that_has_begun_stays_as_it_is(live: LiveServer) -> None:
    with live.client() as client:
        for path, body, said in (("/twice", b"one", [True, False]), ("/after-a-head", b"ab", [False])):
            response = client.ask(request(path))
            assert response is not None
            assert (response.body, written(live, len(said))) == (body, said)


def test_an_error_after_the_answer_changes_nothing(live: LiveServer) -> None:
    with live.client() as client:
        for _ in range(2):
            response = client.ask(request("/fails-afterwards"))
            assert response is not None
            assert (response.status, json.loads(response.body)) == (200, {})


def test_a_response_without_content_is_left_to_the_messages(live: LiveServer) -> None:
    with live.client() as client:
        client.send(request("/without-content") + request("/answer"))
        received = b""
        while not received.endswith(b'{"a":1}'):
            received += client.socket.recv(65536)
    assert received.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert written(live, 1) == [False]
