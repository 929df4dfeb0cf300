"""Functions that wait for a time slice: their order, and that the event loop goes on between two slices."""

import asyncio
import logging

import pytest

from thingmint.mqtt.pacing.slices import Slices
from thingmint.registration.kernel import turns


async def test_what_a_slice_has_no_time_for_is_done_in_later_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "SLICE_SECONDS", 0.0)
    slices, done, counts = Slices(asyncio.get_running_loop()), list[int](), list[int]()
    for number in range(5):
        slices.add(lambda number=number: done.append(number))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    for _ in range(6):
        counts.append(len(done))
        await asyncio.sleep(0)
    assert (done, counts) == ([0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5])


async def test_a_function_that_fails_does_not_keep_the_next_one_waiting(caplog: pytest.LogCaptureFixture) -> None:
    slices, done = Slices(asyncio.get_running_loop()), asyncio.Event()

    def fail() -> None:
        raise RuntimeError("for the log")

    slices.add(fail)
    slices.add(done.set)
    await asyncio.wait_for(done.wait(), 10)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
