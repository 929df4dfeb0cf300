"""A stream of events sends nothing that came after its session had ended, and takes a place only while it is open."""

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.responses import StreamingResponse

from thingmint.console.live import MOST_STREAMS, MOST_STREAMS_OF_ACCOUNT, Streams
from thingmint.console.streaming import event_stream, written
from thingmint.console.visit import Visit
from thingmint.core.errors import Throttled
from thingmint.core.identifiers import AccountId

ACCOUNT = AccountId("000000000000")
SCOPE = {"type": "http", "asgi": {"spec_version": "2.3"}}


async def never_called(token: str, *, is_use: bool) -> object | None:
    raise AssertionError(f"{token} was looked up, {is_use}")


def visit_of(find: Any = never_called, method: str = "GET") -> Visit:
    """Return what a stream uses of a visit."""
    visit = SimpleNamespace(
        services=SimpleNamespace(sessions=SimpleNamespace(find=find)),
        signed_in=SimpleNamespace(token="token"),
        caller=SimpleNamespace(account=ACCOUNT),
        request=SimpleNamespace(method=method),
    )
    return cast("Visit", visit)


async def test_what_comes_after_the_end_of_a_session_is_not_sent() -> None:
    sessions: dict[str, object] = {"token": object()}

    async def find(token: str, *, is_use: bool) -> object | None:
        assert not is_use
        return sessions.get(token)

    async def events() -> AsyncGenerator[bytes, None]:
        yield b"first"
        sessions.clear()
        yield b"second"

    streams, sent = Streams(), []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message.get("body"))

    response = event_stream(visit_of(find), streams, events)
    assert streams.count == 1
    await response(SCOPE, receive, send)

    assert sent == [None, b"first", written("ended", ""), b""]
    assert streams.count == 0


async def test_a_client_that_has_gone_before_the_first_event_takes_no_place() -> None:
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        await asyncio.Event().wait()  # The client has not read what it got before.

    async def events() -> AsyncGenerator[bytes, None]:
        yield b"never"

    streams = Streams()
    response = event_stream(visit_of(), streams, events)
    await response(SCOPE, receive, send)

    assert streams.count == 0


async def test_head_of_a_stream_takes_no_place_and_ends() -> None:
    async def events() -> AsyncGenerator[bytes, None]:
        yield b"never"

    streams = Streams()
    response = event_stream(visit_of(method="HEAD"), streams, events)

    assert not isinstance(response, StreamingResponse)
    assert streams.count == 0


def test_one_account_leaves_streams_to_others() -> None:
    streams, other = Streams(), AccountId("111111111111")
    for _ in range(MOST_STREAMS_OF_ACCOUNT):
        streams.take(ACCOUNT)
    with pytest.raises(Throttled):
        streams.take(ACCOUNT)
    streams.take(other)
    streams.give_back(ACCOUNT)
    streams.take(ACCOUNT)
    while streams.count < MOST_STREAMS:
        streams.take(AccountId(f"{streams.count:012}"))
    with pytest.raises(Throttled):
        streams.take(AccountId("999999999999"))
