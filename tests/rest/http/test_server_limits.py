"""Slow, stalled and numerous clients: each meets its limit, and an honest client is served meanwhile."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
from tests.support.machine.live_server import Client, LiveServer, TinyApplication, live_server
from tests.support.machine.loop_thread import LOOPS

from thingmint.rest.http.limits import Limits
from thingmint.rest.http.server import Server

GET = b"GET /things HTTP/1.1\r\nHost: localhost\r\n\r\n"
WAITS = b"GET /waits HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = b"GET /large/1000000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
NEVER = 3600.0
POST = b"POST /things HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(params=sorted(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.contextmanager
def clients(live: LiveServer, count: int) -> Iterator[list[Client]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(live.client()) for _ in range(count)]


def served(client: Client) -> bool:
    response = client.ask(GET)
    return response is not None and response.status == 200


def test_connection_that_never_speaks_is_closed(loop_name: str) -> None:
    with live_server(loop_name=loop_name, limits=Limits(header_seconds=0.1)) as live, live.client() as client:
        assert client.is_closed_by_server()


@pytest.mark.parametrize("half", [b"G", GET[:-2], GET + GET[:-2]])
def test_half_sent_head_is_answered_408(loop_name: str, half: bytes) -> None:
    limits = Limits(header_seconds=NEVER, linger_seconds=0.1)
    with live_server(loop_name=loop_name, limits=limits) as live, live.client() as client:
        client.send(half)
        if half.startswith(GET):
            assert client.response() is not None
        live.wait_for_half_a_head()
        live.let_pass(NEVER - 60)
        live.wait_for_half_a_head()  # not before its time
        live.let_pass(NEVER + 1)
        response = client.response()
        assert response is not None
        assert response.status == 408
        assert response.headers["x-amzn-errortype"] == "RequestTimeoutException"
        assert client.is_closed_by_server()


@pytest.mark.parametrize(
    "limits",
    [
        Limits(body_stall_seconds=0.1, linger_seconds=0.1),
        Limits(body_seconds=0.1, linger_seconds=0.1),
    ],
)
def test_body_that_does_not_arrive_is_answered_408(loop_name: str, limits: Limits) -> None:
    with live_server(loop_name=loop_name, limits=limits) as live, live.client() as client:
        client.send(POST + b"Content-Length: 10\r\n\r\nhalf")
        response = client.response()
        assert response is not None
        assert response.status == 408
        assert live.application.disconnects.acquire(timeout=30)


def test_time_limit_of_the_body_does_not_bind_the_application() -> None:
    with live_server() as live, live.client() as client:
        client.send(WAITS)
        assert live.application.started.acquire(timeout=30)
        with live.client() as silent:
            live.wait_until(lambda: live.open_connections == 2)
            live.let_pass(NEVER)
            assert silent.is_closed_by_server()
        live.application.release.set()
        response = client.response()
        assert response is not None
        assert response.status == 200


def test_idle_connection_is_closed_after_the_keep_alive_time(loop_name: str) -> None:
    with live_server(loop_name=loop_name, limits=Limits(keep_alive_seconds=0.1)) as live, live.client() as client:
        assert served(client)
        assert client.is_closed_by_server()


def test_empty_lines_do_not_keep_a_connection_alive() -> None:
    limits = Limits(keep_alive_seconds=0.2, header_seconds=NEVER)
    with live_server(limits=limits) as live, live.client() as client:
        assert served(client)
        client.send(b"\r\n")
        assert client.is_closed_by_server()


def test_reader_that_never_reads_is_cut_off(loop_name: str) -> None:
    with live_server(loop_name=loop_name, limits=Limits(write_stall_seconds=0.2)) as live, live.client() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(b"GET /large/20000000 HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
        live.wait_until(lambda: live.open_connections == 0)
        assert len(live.application.served) < 3
        with live.client() as honest:
            assert served(honest)


def test_connection_whose_closing_nobody_reads_is_cut_off() -> None:
    counts: list[int] = []
    limits = Limits(close_seconds=0.1)
    with live_server(limits=limits, observe_connections=counts.append) as live, live.client() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(b"GET /large/20000000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        live.wait_until(lambda: counts[-1:] == [0])
        assert max(counts) == 1


def test_client_that_sends_without_end_after_a_refusal_is_cut_off() -> None:
    with live_server(limits=Limits(linger_bytes=100_000)) as live, live.client() as client:
        client.send(b"nonsense\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                client.socket.sendall(b"x" * 65536)
        live.wait_until(lambda: live.open_connections == 0)


def test_overload_is_refused_as_throttling() -> None:
    with live_server(limits=Limits(max_requests=1)) as live, live.client() as first, live.client() as second:
        first.send(WAITS)
        assert live.application.started.acquire(timeout=30)
        refused = second.ask(GET)
        assert refused is not None
        assert refused.status == 400
        assert refused.headers["x-amzn-errortype"] == "ThrottlingException"
        assert refused.headers["retry-after"] == "1"
        assert refused.message == "Rate exceeded"
        live.application.release.set()
        answer = first.response()
        assert answer is not None
        assert answer.status == 200


def test_overload_is_no_reason_to_call_the_service_dead() -> None:
    # Whoever watches it would end it, and with it all that it is working on.
    with live_server(limits=Limits(max_requests=1)) as live, live.client() as first, live.client() as second:
        first.send(WAITS)
        assert live.application.started.acquire(timeout=30)
        answer = second.ask(GET.replace(b"/things", b"/alive?x=1"))
        assert answer is not None
        assert answer.status == 200
        refused = second.ask(GET)
        assert refused is not None
        assert refused.status == 400


def test_requests_that_wait_for_their_bodies_make_room_for_others(loop_name: str) -> None:
    # Whoever sends half a body has shown no key: it must not keep those out who have one.
    with (
        live_server(loop_name=loop_name, limits=Limits(max_requests=3)) as live,
        clients(live, 3) as halves,
        live.client() as honest,
    ):
        for half in halves:
            half.send(POST + b"Content-Length: 10\r\n\r\nhalf")
            assert live.application.started.acquire(timeout=30)
        assert served(honest)
        oldest, *others = halves
        refused = oldest.response()
        assert refused is not None
        assert (refused.status, refused.headers["x-amzn-errortype"]) == (400, "ThrottlingException")
        assert oldest.is_closed_by_server()
        for half in others:
            answer = half.ask(b"a body")
            assert answer is not None
            assert answer.status == 200


def test_responses_that_nobody_reads_make_room_for_others(loop_name: str) -> None:
    # Some, because a request of a pipeline begins a moment before the one before it has ended.
    with (
        live_server(loop_name=loop_name, limits=Limits(max_requests=8)) as live,
        clients(live, 2) as (deaf, honest),
        clients(live, 7) as all_busy,
    ):
        deaf.send(LARGE * 30)
        live.wait_for_reader()
        for busy in all_busy:
            busy.send(WAITS)
        live.wait_until(lambda: live.application.served.count("/waits") == len(all_busy))
        assert served(honest)
        live.wait_until(lambda: live.open_connections == 1 + len(all_busy))
        live.application.release.set()
        for busy in all_busy:
            answer = busy.response()
            assert answer is not None
            assert answer.status == 200


def test_connection_whose_response_nobody_reads_makes_room_for_a_new_one(loop_name: str) -> None:
    with live_server(loop_name=loop_name, limits=Limits(max_connections=1)) as live, live.client() as deaf:
        deaf.send(LARGE * 30)
        live.wait_for_reader()
        with live.client() as honest:
            assert served(honest)


def test_honest_client_is_served_beside_300_silent_connections(loop_name: str) -> None:
    counts: list[int] = []
    with live_server(loop_name=loop_name, observe_connections=counts.append) as live:
        with clients(live, 300), live.client() as honest:
            assert served(honest)
            assert live.open_connections == 301
        live.wait_until(lambda: live.open_connections == 0)
        assert max(counts) == 301
        assert counts[-1] == 0


def test_longest_idle_connection_makes_room_for_a_new_one(loop_name: str) -> None:
    with (
        live_server(loop_name=loop_name, limits=Limits(max_connections=3)) as live,
        clients(live, 3) as (busy, older, newer),
    ):
        busy.send(WAITS)
        assert live.application.started.acquire(timeout=30)
        assert served(older)
        assert served(newer)
        with live.client() as late:
            assert served(late)
            assert older.is_closed_by_server()
            assert served(newer)
            live.application.release.set()
            answer = busy.response()
            assert answer is not None
            assert answer.status == 200


def test_half_sent_request_is_evicted_too() -> None:
    with live_server(limits=Limits(max_connections=1)) as live, live.client() as slow:
        slow.send(POST + b"Content-Length: 10\r\n\r\nhalf")
        assert live.application.started.acquire(timeout=30)
        with live.client() as honest:
            assert served(honest)
        assert slow.is_closed_by_server()


def test_connection_is_refused_when_every_other_one_is_busy() -> None:
    with live_server(limits=Limits(max_connections=1)) as live, live.client() as busy:
        busy.send(WAITS)
        assert live.application.started.acquire(timeout=30)
        with live.client() as late:
            assert late.is_closed_by_server()
        live.application.release.set()
        assert busy.response() is not None


def test_request_in_flight_is_finished_by_a_stop(loop_name: str) -> None:
    with (
        live_server(loop_name=loop_name) as live,
        clients(live, 3) as (busy, idle, silent),
    ):
        assert served(idle)
        busy.send(WAITS)
        live.wait_until(lambda: "/waits" in live.application.served)
        port = live.server.port
        stopping = asyncio.run_coroutine_threadsafe(live.server.stop(20.0), live.loop)
        assert idle.is_closed_by_server()
        assert silent.is_closed_by_server()
        with pytest.raises(ConnectionRefusedError):
            Client(port)
        live.application.release.set()
        answer = busy.response()
        assert answer is not None
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        stopping.result(30)
        assert live.open_connections == 0


def test_stop_answers_every_request_of_a_pipeline_that_has_arrived(loop_name: str) -> None:
    with live_server(loop_name=loop_name) as live, live.client() as client:
        client.send(WAITS + GET + GET)
        assert live.application.started.acquire(timeout=30)
        stopping = asyncio.run_coroutine_threadsafe(live.server.stop(20.0), live.loop)
        live.wait_until(lambda: not live.server._acceptor.is_listening)
        client.send(GET)
        live.application.release.set()
        answers = [client.response() for _ in range(3)]
        assert [answer.status for answer in answers if answer] == [200, 200, 200]
        assert [answer.headers.get("connection") for answer in answers if answer] == [None, None, "close"]
        assert client.is_closed_by_server()
        stopping.result(30)
        assert len(live.application.served) == 3


def test_stop_waits_for_the_rest_of_a_body(loop_name: str) -> None:
    with live_server(loop_name=loop_name) as live, live.client() as client:
        client.send(POST + b"Content-Length: 10\r\n\r\nhalf")
        assert live.application.started.acquire(timeout=30)
        stopping = asyncio.run_coroutine_threadsafe(live.server.stop(20.0), live.loop)
        live.wait_until(lambda: not live.server._acceptor.is_listening)
        answer = client.ask(b"a body" + GET)
        assert answer is not None
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert client.is_closed_by_server()
        stopping.result(30)
        assert live.application.served == ["/things"]


def test_stop_abandons_what_outlives_the_grace_period(loop_name: str, caplog: pytest.LogCaptureFixture) -> None:
    with live_server(loop_name=loop_name) as live, live.client() as busy:
        busy.send(WAITS)
        assert live.application.started.acquire(timeout=30)
        live.run(live.server.stop(0.05))
        assert live.open_connections == 0
        assert busy.response() is None
    assert "1 requests were abandoned" in caplog.text


def test_every_limit_must_be_positive() -> None:
    with pytest.raises(ValueError, match="header_seconds must be positive"):
        Limits(header_seconds=0)


def test_localhost_is_served_on_every_address_it_has_and_one_port() -> None:
    with live_server(host="localhost") as live:
        assert len({port for _, port in live.server.addresses}) == 1
        for host, port in live.server.addresses:
            with Client(port, host=host) as client:
                assert served(client)


def test_address_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Server(TinyApplication(), host="127.0.0.1", port=taken.getsockname()[1], ssl_context=None)
        with pytest.raises(OSError, match="in use"):
            asyncio.run(server.start())
