"""What has arrived while a turn has no time left: it waits, accounts take turns, and the event loop goes on."""

import asyncio
import logging

import pytest

from thingmint.mqtt.pacing.arrivals import Arrivals


async def test_what_a_turn_has_no_time_for_is_handled_in_later_turns_in_the_order_of_arrival() -> None:
    arrivals, done, counts = Arrivals(asyncio.get_running_loop(), seconds=0.0), list[int](), list[int]()
    # The first one has the time of this turn.
    assert [arrivals.has_time, arrivals.has_time] == [True, False]
    for number in range(4):
        arrivals.add("account", lambda number=number: done.append(number))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    for _ in range(5):
        counts.append(len(done))
        assert not arrivals.has_time
        await asyncio.sleep(0)
    assert (done, counts) == ([0, 1, 2, 3], [0, 1, 2, 3, 4])
    await asyncio.sleep(0)
    assert arrivals.has_time


async def test_what_waits_is_handled_within_the_time_of_a_turn_without_pauses() -> None:
    arrivals, done = Arrivals(asyncio.get_running_loop(), seconds=60.0), list[int]()
    for number in range(100):
        arrivals.add("account", lambda number=number: done.append(number))  # type: ignore[misc]  # as above
    # Nothing may overtake what waits, although there is time.
    assert not arrivals.has_time
    await asyncio.sleep(0)
    assert done == list(range(100))
    assert arrivals.has_time


async def test_accounts_take_turns() -> None:
    arrivals, done = Arrivals(asyncio.get_running_loop(), seconds=60.0), list[str]()
    for account in ("a", "a", "a", "b", "c", "b"):
        arrivals.add(account, lambda account=account: done.append(account))  # type: ignore[misc]  # as above
    await asyncio.sleep(0)
    assert "".join(done) == "abcaba"


async def test_a_failure_does_not_keep_the_next_one_waiting(caplog: pytest.LogCaptureFixture) -> None:
    arrivals, done = Arrivals(asyncio.get_running_loop(), seconds=60.0), asyncio.Event()

    def fail() -> None:
        raise RuntimeError("for the log")

    arrivals.add("account", fail)
    arrivals.add("account", done.set)
    await asyncio.wait_for(done.wait(), 10)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
