"""Writers with packets are called once, together, in the next turn of the event loop."""

import asyncio
import logging

import pytest

from thingmint.mqtt.transport.flushes import Flushes


class Recorder:
    """A writer that records its calls, and fails if it is told to."""

    def __init__(self, name: str, called: list[str], *, fails: bool = False) -> None:
        self._name = name
        self._called = called
        self._fails = fails

    def flush_on_time(self) -> None:
        """Record the call."""
        self._called.append(self._name)
        if self._fails:
            raise RuntimeError("a connection is broken")


async def test_writers_are_called_in_order_and_not_before_the_next_turn() -> None:
    called: list[str] = []
    flushes = Flushes(asyncio.get_running_loop())
    for name in ("first", "second", "third"):
        flushes.add(Recorder(name, called))
    assert called == []
    await asyncio.sleep(0)
    assert called == ["first", "second", "third"]
    flushes.add(Recorder("later", called))
    await asyncio.sleep(0)
    assert called[3:] == ["later"]


async def test_a_writer_that_fails_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    called: list[str] = []
    flushes = Flushes(asyncio.get_running_loop())
    flushes.add(Recorder("broken", called, fails=True))
    flushes.add(Recorder("whole", called))
    with caplog.at_level(logging.ERROR):
        await asyncio.sleep(0)
    assert called == ["broken", "whole"]
    assert "a connection is broken" in caplog.text


async def test_a_writer_that_is_added_during_the_calls_waits_for_the_next_turn() -> None:
    called: list[str] = []
    flushes = Flushes(asyncio.get_running_loop())

    class Again(Recorder):
        """Asks for another call."""

        def flush_on_time(self) -> None:
            """Record the call, and ask."""
            super().flush_on_time()
            flushes.add(Recorder("again", called))

    flushes.add(Again("once", called))
    await asyncio.sleep(0)
    assert called == ["once"]
    await asyncio.sleep(0)
    assert called == ["once", "again"]
