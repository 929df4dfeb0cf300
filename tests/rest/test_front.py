"""The front: each path has one application, with its own limits and its own form of errors."""

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.rest.answers import Answer
from thingmint.rest.asgi_messages import HTTPScope, Receive, ReceivedMessage, Send, SentMessage
from thingmint.rest.front import Front, Mounted, RequestLimits


class Application:
    """Answers with its name and the path it sees, after reading the body; does first what it is told to."""

    def __init__(self, name: str, *, error: Exception | None = None, seconds: float = 0.0, late: bool = False) -> None:
        self.name, self.error, self.seconds, self.late = name, error, seconds, late
        self.served = 0

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        self.served += 1
        more = True
        while more:
            message = await receive()
            more = message["type"] == "http.request" and message["more_body"]
        if not self.late:
            await self._fail()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if self.late:
            await self._fail()
        await send({"type": "http.response.body", "body": f"{self.name} {scope['path']}".encode()})

    async def _fail(self) -> None:
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error


def aws(error: Exception) -> Answer:
    return Answer(503 if isinstance(error, ServiceUnavailable) else 400, json.dumps(type(error).__name__).encode())


def text(error: Exception) -> Answer:
    return Answer(418, type(error).__name__.encode(), b"text/plain")


def chunks(*parts: bytes) -> list[ReceivedMessage]:
    last = len(parts) - 1
    return [{"type": "http.request", "body": part, "more_body": number < last} for number, part in enumerate(parts)]


async def ask(
    front: Front,
    path: bytes = b"/",
    messages: Sequence[ReceivedMessage] = (),
    headers: Sequence[tuple[bytes, bytes]] = (),
    method: str = "GET",
) -> tuple[int, bytes]:
    scope: Any = {"type": "http", "method": method, "path": path.decode(), "raw_path": path, "headers": headers}
    waiting = list(messages or chunks(b""))
    sent = list[SentMessage]()

    async def receive() -> ReceivedMessage:
        return waiting.pop(0)

    async def send(message: SentMessage) -> None:
        sent.append(message)

    await front(scope, receive, send)
    start, *parts = sent
    assert start["type"] == "http.response.start"
    return start["status"], b"".join(part["body"] for part in parts if part["type"] == "http.response.body")


def front_of(*mounted: Mounted) -> Front:
    return Front(mounted, lambda: "0" * 36)


API, CONSOLE = Application("api"), Application("console")
BOTH = (Mounted(API, aws), Mounted(CONSOLE, text, (b"/console", b"/static")))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/", "api"),
        (b"/things/console", "api"),
        (b"/consoles", "api"),
        (b"/Console", "api"),
        (b"//console", "api"),
        (b"/%63onsole", "api"),
        (b"/console", "console"),
        (b"/console/", "console"),
        (b"/console/things/a", "console"),
        (b"/static/style.css", "console"),
    ],
)
async def test_first_segment_of_the_path_decides_who_serves_it_and_nothing_is_cut_off(path: bytes, name: str) -> None:
    assert await ask(front_of(*BOTH), path) == (200, f"{name} {path.decode()}".encode())


@pytest.mark.parametrize(
    "mounted",
    [
        (),
        (BOTH[0], BOTH[0]),
        (BOTH[1],),
        (*BOTH, Mounted(API, aws, (b"/console",))),
        (BOTH[0], Mounted(API, aws, (b"/a/b",))),
        (BOTH[0], Mounted(API, aws, (b"",))),
        (BOTH[0], Mounted(API, aws, (b"console",))),
    ],
)
def test_paths_that_nobody_or_more_than_one_would_serve_are_refused(mounted: tuple[Mounted, ...]) -> None:
    with pytest.raises(ValueError, match="prefix"):
        front_of(*mounted)


async def test_body_is_limited_by_what_it_says_and_by_what_arrives() -> None:
    limited = Application("limited")
    front = front_of(Mounted(API, aws), Mounted(limited, text, (b"/est",), RequestLimits(10, 5.0)))

    assert await ask(front, b"/est", chunks(b"x" * 10)) == (200, b"limited /est")
    assert limited.served == 1
    assert await ask(front, b"/est", chunks(b""), [(b"content-length", b"11")]) == (418, b"RequestTooLarge")
    assert limited.served == 1
    assert await ask(front, b"/est", chunks(b"x" * 6, b"x" * 5)) == (418, b"RequestTooLarge")
    # The limits of one application are not those of another.
    assert await ask(front, b"/things", chunks(b"x" * 11)) == (200, b"api /things")


async def test_time_is_limited_until_the_response_begins() -> None:
    slow, streaming = Application("slow", seconds=60), Application("streaming", seconds=0.2, late=True)
    limits = RequestLimits(10, 0.05)
    front = front_of(
        Mounted(API, aws), Mounted(slow, text, (b"/slow",), limits), Mounted(streaming, text, (b"/stream",), limits)
    )

    assert await ask(front, b"/slow") == (418, b"ServiceUnavailable")
    assert await ask(front, b"/stream") == (200, b"streaming /stream")


async def test_time_out_inside_of_an_application_is_an_error_like_any_other() -> None:
    front = front_of(
        Mounted(API, aws),
        Mounted(Application("x", error=TimeoutError("secret")), text, (b"/x",), RequestLimits(10, 60.0)),
    )
    assert await ask(front, b"/x") == (418, b"TimeoutError")


async def test_error_is_answered_in_the_form_of_its_application(caplog: pytest.LogCaptureFixture) -> None:
    front = front_of(
        Mounted(Application("api", error=Throttled()), aws),
        Mounted(Application("console", error=ArithmeticError("a secret")), text, (b"/console",)),
    )
    assert await ask(front, b"/things") == (400, b'"Throttled"')
    assert not caplog.records
    with caplog.at_level(logging.ERROR):
        assert await ask(front, b"/console") == (418, b"ArithmeticError")
        assert await ask(front, b"/console", method="HEAD") == (418, b"")
    assert "ArithmeticError" in caplog.text
    assert "a secret" not in caplog.text


async def test_error_after_the_beginning_of_the_response_is_left_to_the_server() -> None:
    front = front_of(Mounted(Application("api", error=ArithmeticError(), late=True), aws))
    with pytest.raises(ArithmeticError):
        await ask(front)


async def test_deadlines_of_requests_that_overlap_pass_one_after_the_other() -> None:
    slow = Application("slow", seconds=60)
    front = front_of(Mounted(slow, text, limits=RequestLimits(10, 0.1)))
    first = asyncio.create_task(ask(front, b"/slow"))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(ask(front, b"/slow"))
    assert await first == (418, b"ServiceUnavailable")
    assert not second.done()
    assert await second == (418, b"ServiceUnavailable")
    # The timer of these requests is over. Another one begins with the next request.
    assert await ask(front, b"/slow") == (418, b"ServiceUnavailable")


async def test_request_that_ends_in_time_is_not_cancelled_later() -> None:
    front = front_of(Mounted(Application("quick"), text, limits=RequestLimits(10, 0.05)))

    async def ask_and_go_on() -> tuple[int, bytes]:
        answer = await ask(front, b"/quick")
        await asyncio.sleep(0.15)
        return answer

    assert await asyncio.create_task(ask_and_go_on()) == (200, b"quick /quick")


async def test_cancellation_by_another_than_the_deadline_stays_a_cancellation() -> None:
    front = front_of(Mounted(Application("slow", seconds=60), text, limits=RequestLimits(10, 60.0)))
    task = asyncio.create_task(ask(front, b"/slow"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_application_that_answers_in_spite_of_its_deadline_is_heard() -> None:
    async def stubborn(scope: HTTPScope, receive: Receive, send: Send) -> None:
        del scope, receive
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"late"})

    front = front_of(Mounted(stubborn, text, limits=RequestLimits(10, 0.05)))

    async def ask_and_count() -> tuple[tuple[int, bytes], int]:
        task = asyncio.current_task()
        assert task is not None
        return await ask(front), task.cancelling()

    assert await asyncio.create_task(ask_and_count()) == ((200, b"late"), 0)


async def test_body_that_has_arrived_whole_is_limited_too() -> None:
    bodies = [b"x" * 10, b"x" * 11, None]

    async def eager(scope: HTTPScope, receive: Receive, send: Send) -> None:
        del receive
        body = scope["extensions"]["whole_body"]()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"none yet" if body is None else body})

    front = front_of(Mounted(eager, text, limits=RequestLimits(10, 5.0)))

    async def ask_with(body: bytes | None) -> tuple[int, bytes]:
        scope: Any = {"type": "http", "method": "POST", "path": "/", "raw_path": b"/", "headers": []}
        scope["extensions"] = {"whole_body": lambda: body}
        sent = list[Any]()

        async def send(message: SentMessage) -> None:
            sent.append(message)

        await front(scope, None, send)  # type: ignore[arg-type]  # the application does not receive
        return sent[0]["status"], sent[1]["body"]

    assert [await ask_with(body) for body in bodies] == [
        (200, b"x" * 10),
        (418, b"RequestTooLarge"),
        (200, b"none yet"),
    ]
