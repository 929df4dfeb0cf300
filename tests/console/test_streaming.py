"""A stream of events sends nothing that came after its session had ended."""

from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any, cast

from thingmint.console.live import Streams
from thingmint.console.streaming import event_stream, written
from thingmint.console.visit import Visit


async def test_what_comes_after_the_end_of_a_session_is_not_sent() -> None:
    sessions: dict[str, object] = {"token": object()}

    async def find(token: str, *, is_use: bool) -> object | None:
        assert not is_use
        return sessions.get(token)

    async def events() -> AsyncGenerator[bytes, None]:
        yield b"first"
        sessions.clear()
        yield b"second"

    visit = SimpleNamespace(
        services=SimpleNamespace(sessions=SimpleNamespace(find=find)), signed_in=SimpleNamespace(token="token")
    )
    streams = Streams()
    response = event_stream(cast("Visit", visit), streams, events)
    sent: list[Any] = [each async for each in response.body_iterator]

    assert sent == [b"first", written("ended", "")]
    assert streams.count == 0
