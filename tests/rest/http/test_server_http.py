"""Hostile and unusual bytes on one connection: each is answered in AWS's form, and the server stays up."""

import json
from collections.abc import Iterator

import pytest
from tests.support.machine.live_server import GENEROUS, LiveServer, live_server
from tests.support.machine.loop_thread import LOOPS

from thingmint.rest.http.limits import Limits

HEAD = b"GET /things HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /things HTTP/1.1\r\nHost: localhost\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"


@pytest.fixture(scope="module", params=sorted(LOOPS))
def live(request: pytest.FixtureRequest) -> Iterator[LiveServer]:
    with live_server(loop_name=request.param, limits=Limits(linger_seconds=0.2)) as running:
        yield running


REFUSED: dict[str, tuple[bytes, int]] = {
    "garbage": (b"\x00\x01\x02\x03 nonsense\r\n\r\n", 400),
    "a TLS client hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "an unknown method": (b"FROBNICATE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a method in lower case": (b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/9.9": (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
    "another protocol's name": (b"GET / SHTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "absolute-form with another host": (b"GET http://other/things HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "absolute-form with another port": (b"GET http://localhost:1/things HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "absolute-form without Host": (b"GET http://localhost/things HTTP/1.1\r\n\r\n", 400),
    "absolute-form with a user": (b"GET http://a@localhost/things HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "absolute-form without an authority": (b"GET http:///things HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "absolute-form of another scheme": (b"GET ftp://localhost/things HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "absolute-form with a fragment": (b"GET http://localhost/things#a HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "authority-form": (b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "asterisk-form": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a target without a slash": (b"GET things HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a target with a fragment": (b"GET /things#part HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a target beyond ASCII": (b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a target with invalid UTF-8": (b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a target with NUL": (b"GET /a\x00b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a target with a space": (b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a target of 9 kB": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    "a query of 9 kB": (b"GET /?" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    "no Host": (b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", 400),
    "two Hosts": (HEAD + b"Host: localhost\r\n\r\n", 400),
    "two Hosts over HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "an empty Host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "a Host with a path": (b"GET / HTTP/1.1\r\nHost: localhost/x\r\n\r\n", 400),
    "a Host with a user": (b"GET / HTTP/1.1\r\nHost: a@localhost\r\n\r\n", 400),
    "a Host list": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "two Content-Lengths": (POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc", 400),
    "the same Content-Length twice": (POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab", 400),
    "a Content-Length list": (POST + b"Content-Length: 2, 2\r\n\r\nab", 400),
    "a negative Content-Length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "a signed Content-Length": (POST + b"Content-Length: +1\r\n\r\na", 400),
    "a hexadecimal Content-Length": (POST + b"Content-Length: 0x1\r\n\r\na", 400),
    "a Content-Length beyond 64 bits": (POST + b"Content-Length: 99999999999999999999999\r\n\r\n", 400),
    "a Content-Length of 5,000 digits": (POST + b"Content-Length: " + b"0" * 4999 + b"2\r\n\r\n{}", 400),
    "an empty Content-Length": (POST + b"Content-Length:\r\n\r\n", 400),
    "Content-Length with Transfer-Encoding": (
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "Transfer-Encoding with Content-Length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    "another transfer coding": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "two transfer codings": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a hidden transfer coding": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    "chunks over HTTP/1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "a chunk without a size": (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n", 400),
    "a chunk of an absurd size": (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\n", 400),
    "a chunk longer than its size": (POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n", 400),
    "a folded header": (HEAD + b"X-Folded: one\r\n two\r\n\r\n", 400),
    "a header that starts with a space": (b"GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
    "a space before the colon": (HEAD + b"X-Space : value\r\n\r\n", 400),
    "a header without a colon": (HEAD + b"nonsense\r\n\r\n", 400),
    "a header without a name": (HEAD + b": value\r\n\r\n", 400),
    "a NUL in a header's name": (HEAD + b"X-\x00: value\r\n\r\n", 400),
    "a NUL in a header's value": (HEAD + b"X-Nul: a\x00b\r\n\r\n", 400),
    "a control character in a header": (HEAD + b"X-Bell: a\x07b\r\n\r\n", 400),
    "a bare CR in a header": (HEAD + b"X-Return: a\rb\r\n\r\n", 400),
    "a delete character in a header": (HEAD + b"X-Delete: a\x7fb\r\n\r\n", 400),
    "invalid UTF-8 in a header's name": (HEAD + b"X-\xff\xfe: value\r\n\r\n", 400),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
    "101 headers": (HEAD + b"".join(b"X-%d: v\r\n" % n for n in range(100)) + b"\r\n", 431),
    "a header of 70 kB": (HEAD + b"X-Large: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "a header name of 70 kB": (HEAD + b"a" * 70_000 + b": v\r\n\r\n", 431),
    "headers of 70 kB in all": (HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 900) for n in range(80)) + b"\r\n", 431),
    "20 MB of one header": (HEAD + b"X-Large: " + b"a" * 20_000_000, 431),
    "a trailer of 70 kB": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Large: " + b"a" * 70_000, 431),
    "a trailer's name of 70 kB": (POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a" * 70_000, 431),
    "101 trailers": (
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"".join(b"X-%d: v\r\n" % n for n in range(101)) + b"\r\n",
        431,
    ),
    "a chunk's extension of 70 kB": (POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 70_000, 431),
}


@pytest.mark.parametrize("sent", REFUSED)
def test_bad_request_is_refused_in_awss_form_and_the_connection_closed(live: LiveServer, sent: str) -> None:
    data, status = REFUSED[sent]
    with live.client() as client:
        response = client.ask(data)
        assert response is not None
        assert response.status == status
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-amzn-errortype"] == "InvalidRequestException"
        assert len(response.headers["x-amzn-requestid"]) == 36
        assert response.headers["connection"] == "close"
        assert "date" in response.headers
        assert set(json.loads(response.body)) == {"message"}
        assert client.is_closed_by_server()
    assert live.ask(HEAD + b"\r\n") is not None


SERVED: dict[str, bytes] = {
    "a plain request": HEAD + b"\r\n",
    "HTTP/1.0 without Host": b"GET /things HTTP/1.0\r\n\r\n",
    "empty lines first": b"\r\n\r\n" + HEAD + b"\r\n",
    "an IPv6 host": b"GET /things HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n",
    "a body": POST + b"Content-Length: 4\r\n\r\nbody",
    "chunks": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nbod\r\n1;extension\r\ny\r\n0\r\n\r\n",
    "trailers": POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Trailer: v\r\n\r\n",
    "an upgrade to HTTP/2": HEAD
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
    "an upgrade with a body": POST + UPGRADE + b"Content-Length: 4\r\n\r\nbody",
    "an upgrade with chunks": POST
    + UPGRADE
    + b"Transfer-Encoding: chunked\r\n\r\n3\r\nbod\r\n1\r\ny\r\n0\r\nX: v\r\n\r\n",
    "an upgrade with an empty body": HEAD + UPGRADE + b"Content-Length: 0\r\n\r\n",
    "an upgrade in HTTP/1.0": b"POST /things HTTP/1.0\r\n" + UPGRADE + b"Content-Length: 4\r\n\r\nbody",
    "an upgrade to a web socket": HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "100 headers": HEAD + b"".join(b"X-%d: v\r\n" % n for n in range(99)) + b"\r\n",
    "absolute-form": b"GET https://localhost/things HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "absolute-form in other letters": b"GET HTTP://LocalHost:80/things HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
    "absolute-form over HTTP/1.0": b"GET http://localhost/things HTTP/1.0\r\n\r\n",
    "headers of 60 kB": HEAD + b"".join(b"X-%d: %s\r\n" % (n, b"v" * 800) for n in range(70)) + b"\r\n",
    "a target of 8 kB": b"GET /things?" + b"a" * 8100 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("sent", SERVED)
def test_good_request_is_served(live: LiveServer, sent: str) -> None:
    response = live.ask(SERVED[sent])
    assert response is not None
    assert response.status == 200
    seen = json.loads(response.body)
    assert seen["path"] == "/things"
    assert seen["body"] == (4 if b"body" in SERVED[sent] or b"bod\r\n" in SERVED[sent] else 0)


def test_path_and_query_reach_the_application_as_they_were_sent(live: LiveServer) -> None:
    response = live.ask(b"GET //a%2Fb/%C3%A9?x=%20&y?z HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert response is not None
    seen = json.loads(response.body)
    assert (seen["raw_path"], seen["query"]) == ("//a%2Fb/%C3%A9", "x=%20&y?z")
    assert seen["path"] == "//a/b/é"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://localhost", "/", ""),
        (b"http://localhost?a=b", "/", "a=b"),
        (b"http://localhost/", "/", ""),
        (b"http://localhost//a%2Fb/../c?x=http://y/", "//a%2Fb/../c", "x=http://y/"),
    ],
)
def test_absolute_form_reaches_the_application_in_origin_form(
    live: LiveServer, target: bytes, path: str, query: str
) -> None:
    response = live.ask(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert response is not None
    seen = json.loads(response.body)
    assert (seen["raw_path"], seen["query"]) == (path, query)


REFUSED_HEADS = {
    "a target of 9 kB": (b"HEAD /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
    "a target without a slash": (b"HEAD things HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a target with a space": (b"HEAD /a b HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/1.2": (b"HEAD / HTTP/1.2\r\nHost: localhost\r\n\r\n", 400),
    "no Host": (b"HEAD / HTTP/1.1\r\n\r\n", 400),
    "101 headers": (b"HEAD / HTTP/1.1\r\n" + b"".join(b"X-%d: v\r\n" % n for n in range(101)) + b"\r\n", 431),
    "a header of 70 kB": (b"HEAD / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "a body that is malformed": (
        b"HEAD /things HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        400,
    ),
    "a HEAD behind another request": (HEAD + b"\r\nHEAD / HTTP/1.2\r\n\r\n", 400),
}


def _all_bytes(live: LiveServer, data: bytes, *, ends: bool = False) -> bytes:
    """Send, and return everything up to the end of the connection."""
    received = b""
    with live.client() as client:
        client.send(data)
        if ends:
            client.socket.shutdown(1)
        while piece := client.socket.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize("sent", REFUSED_HEADS)
def test_refusal_of_head_has_no_body(live: LiveServer, sent: str) -> None:
    data, status = REFUSED_HEADS[sent]
    received = _all_bytes(live, data)
    _, answered, refusal = received.rpartition(b"HTTP/1.1 ")
    assert answered
    assert refusal.startswith(b"%d " % status)
    assert refusal.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    "truncated", [b"HEAD /thi", b"HEAD / HTTP/1.1\r\nX: ", b"\r\n" + REFUSED_HEADS["no Host"][0][:-2]]
)
def test_refusal_of_a_truncated_head_has_no_body(live: LiveServer, truncated: bytes) -> None:
    received = _all_bytes(live, truncated, ends=True)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.endswith(b"\r\n\r\n")


def test_refusal_of_nonsense_behind_head_has_a_body(live: LiveServer) -> None:
    received = _all_bytes(live, b"HEAD /things HTTP/1.1\r\nHost: localhost\r\n\r\nnonsense\r\n")
    assert received.endswith(b"}")


def test_trailers_are_no_headers(live: LiveServer) -> None:
    # RFC 9110, 6.5.1: whoever stands before the service has looked at the headers only.
    response = live.ask(
        POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: x\r\nExpect: 100-continue\r\n\r\n"
    )
    assert response is not None
    assert response.status == 200
    assert [name for name, _ in json.loads(response.body)["headers"]] == ["host", "transfer-encoding"]


def test_chunks_of_one_byte_are_a_body(live: LiveServer) -> None:
    response = live.ask(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n")
    assert response is not None
    assert json.loads(response.body)["body"] == 20_000


def test_forwarding_headers_do_not_change_the_client_address(live: LiveServer) -> None:
    with live.client() as client:
        own_address = list(client.socket.getsockname())
        response = client.ask(HEAD + b"X-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: https\r\n\r\n")
    assert response is not None
    assert json.loads(response.body)["client"] == own_address


def test_request_sent_byte_by_byte_is_served(live: LiveServer) -> None:
    with live.client() as client:
        for byte in POST + b"Content-Length: 4\r\n\r\nbody":
            client.send(bytes([byte]))
        response = client.response()
    assert response is not None
    assert json.loads(response.body)["body"] == 4


def test_connection_is_kept_for_the_next_request(live: LiveServer) -> None:
    with live.client() as client:
        for _ in range(3):
            response = client.ask(HEAD + b"\r\n")
            assert response is not None
            assert response.status == 200
            assert "connection" not in response.headers


@pytest.mark.parametrize(
    "request_head",
    [HEAD + b"Connection: close\r\n\r\n", b"GET /things HTTP/1.0\r\n\r\n", SERVED["an upgrade to HTTP/2"]],
)
def test_nothing_after_the_last_request_is_served(live: LiveServer, request_head: bytes) -> None:
    with live.client() as client:
        response = client.ask(request_head + b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert response is not None
        assert response.status == 200
        assert response.headers["connection"] == "close"
        assert client.is_closed_by_server()
    assert "/smuggled" not in live.application.served


def test_pipelined_requests_are_answered_in_order(live: LiveServer) -> None:
    count = 2000
    with live.client() as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n for n in range(count)))
        for number in range(count):
            response = client.response()
            assert response is not None
            assert json.loads(response.body)["path"] == f"/{number}"


def test_pipelined_requests_with_bodies_are_answered_in_order(live: LiveServer) -> None:
    bodies = [b"b" * size for size in (0, 3, 100_000, 1, 300_000, 0)]
    with live.client() as client:
        for body in bodies:
            client.send(POST + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        for body in bodies:
            response = client.response()
            assert response is not None
            assert json.loads(response.body)["body"] == len(body)


def test_pipelined_requests_before_a_half_close_are_answered(live: LiveServer) -> None:
    count = 200
    with live.client() as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n for n in range(count)))
        client.socket.shutdown(1)
        for _ in range(count):
            assert client.response() is not None
        assert client.is_closed_by_server()


def test_bad_request_in_a_pipeline_is_refused_after_the_answers_before_it(live: LiveServer) -> None:
    with live.client() as client:
        client.send(HEAD + b"\r\n" + HEAD + b"\r\n" + b"nonsense\r\n\r\n" + HEAD + b"\r\n")
        answers = [client.response() for _ in range(3)]
        assert [answer.status for answer in answers if answer] == [200, 200, 400]
        assert client.is_closed_by_server()


def test_bad_body_in_a_pipeline_is_refused_after_the_answers_before_it(live: LiveServer) -> None:
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    with live.client() as client:
        client.send(HEAD + b"\r\n" + chunked)
        answers = [client.response() for _ in range(2)]
        assert [answer.status for answer in answers if answer] == [200, 400]
        assert client.is_closed_by_server()


@pytest.mark.parametrize("truncated", [b"GET /thi", HEAD, HEAD + b"X-Half", POST + b"Content-Length: 10\r\n\r\nhalf"])
def test_truncated_request_is_refused(live: LiveServer, truncated: bytes) -> None:
    with live.client() as client:
        client.send(truncated)
        client.socket.shutdown(1)
        response = client.response()
        assert response is not None
        assert response.status == 400
        assert "ended before" in response.message
        assert client.is_closed_by_server()


def test_half_closed_client_gets_its_response(live: LiveServer) -> None:
    with live.client() as client:
        client.send(HEAD + b"\r\n")
        client.socket.shutdown(1)
        response = client.response()
        assert response is not None
        assert response.status == 200
        assert client.is_closed_by_server()


def test_what_follows_the_last_request_of_a_half_closed_client_does_not_cost_it_the_answer(live: LiveServer) -> None:
    """RFC 9112, 9.6: what comes after a request with "Connection: close" is not looked at; the request is answered."""
    live.application.release.clear()
    with live.client() as client:
        client.send(b"GET /waits HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\nnonsense")
        client.socket.shutdown(1)
        for _ in range(2):
            # When others are answered, the end of what the client says has been heard.
            with live.client() as other:
                assert other.ask(HEAD + b"\r\n") is not None
        live.application.release.set()
        response = client.response()
        assert response is not None
        assert response.status == 200
        assert client.is_closed_by_server()


def test_connection_that_says_nothing_and_half_closes_is_closed(live: LiveServer) -> None:
    with live.client() as client:
        client.socket.shutdown(1)
        assert client.is_closed_by_server()


@pytest.mark.parametrize("path", [b"/fails", b"/silent"])
def test_failing_application_answers_in_awss_form(live: LiveServer, path: bytes) -> None:
    with live.client() as client:
        response = client.ask(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert response is not None
        assert response.status == 500
        assert response.headers["x-amzn-errortype"] == "InternalFailureException"
        assert response.headers["content-type"] == "application/json"
        assert b"on purpose" not in response.body
        assert client.is_closed_by_server()


def test_application_that_fails_after_its_headers_closes_the_connection(live: LiveServer) -> None:
    with live.client() as client:
        response = client.ask(b"GET /fails-late HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert response is not None
        assert response.body == b""


@pytest.mark.parametrize("connection", [b"close", b"keep-alive"])
def test_malformed_body_is_refused_whether_or_not_its_request_is_the_last(live: LiveServer, connection: bytes) -> None:
    head = POST + b"Transfer-Encoding: chunked\r\nConnection: " + connection + b"\r\n\r\n"
    for body in (b"encoding\r\n", b"5\r\nhello?\r\n", b"-1\r\n"):
        response = live.ask(head + body)
        assert response is not None
        assert response.status == 400
        assert response.headers["x-amzn-errortype"] == "InvalidRequestException"


def test_early_answer_reaches_a_client_that_is_still_sending_its_body() -> None:
    with live_server(limits=Limits(linger_seconds=GENEROUS)) as live, live.client() as client:
        client.send(b"POST /refuses-early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n")
        client.send(b"x" * 5_000_000)
        response = client.response()
        assert response is not None
        assert response.status == 413
        assert response.headers["connection"] == "close"
        live.let_pass(2 * GENEROUS)
        assert client.is_closed_by_server()


def test_expectation_is_met_when_the_body_is_wanted(live: LiveServer) -> None:
    with live.client() as client:
        client.send(POST + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        interim = b"HTTP/1.1 100 Continue\r\n\r\n"
        received = b""
        while len(received) < len(interim):
            received += client.socket.recv(len(interim) - len(received))
        assert received == interim
        response = client.ask(b"body")
        assert response is not None
        assert response.status == 200


def test_expectation_is_refused_without_reading_the_body(live: LiveServer) -> None:
    head = b"POST /refuses-early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    response = live.ask(head)
    assert response is not None
    assert response.status == 413


def test_client_that_leaves_while_its_body_is_awaited_is_reported_to_the_application(live: LiveServer) -> None:
    with live.client() as client:
        client.send(POST + b"Content-Length: 10\r\n\r\nhalf")
    assert live.application.disconnects.acquire(timeout=30)
