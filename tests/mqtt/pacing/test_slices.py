"""Functions that wait for a time slice: their order, and how long a slice may be."""

import asyncio
import itertools
import logging
import time

import pytest

from thingmint.mqtt.pacing.slices import Slices


class Watch:
    """A clock that moves only when something is worked on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


async def counts_of(slices: Slices, watch: Watch, all_else: float) -> list[int]:
    """Return how many of a hundred functions of a millisecond each turn calls, which takes so long for all else."""
    done: list[int] = []

    def work(number: int) -> None:
        watch.work(0.001)
        done.append(number)

    for number in range(100):
        slices.add(lambda number=number: work(number))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    counts = [0]
    while counts[-1] < 100:
        watch.work(all_else)
        await asyncio.sleep(0)
        counts.append(len(done))
    assert done == list(range(100))
    return [later - earlier for earlier, later in itertools.pairwise(counts) if later > earlier]


async def test_a_slice_takes_two_milliseconds_however_busy_the_loop_is(watch: Watch) -> None:
    counts = await counts_of(Slices(asyncio.get_running_loop()), watch, 0.010)
    assert set(counts) == {2}


@pytest.mark.parametrize(("all_else", "most"), [(0.0, 2), (0.008, 8), (0.100, 15)])
async def test_a_longer_slice_takes_half_of_the_time_up_to_its_limit(watch: Watch, all_else: float, most: int) -> None:
    first, *others, _last = await counts_of(Slices(asyncio.get_running_loop(), 0.015), watch, all_else)
    assert first == 2
    assert all(most <= count <= most + 1 for count in others)


async def test_urgent_functions_come_before_all_others_in_their_own_order() -> None:
    slices, done, is_done = Slices(asyncio.get_running_loop()), list[int](), asyncio.Event()
    for number in range(4):
        slices.add(lambda number=number: done.append(number), is_urgent=number >= 2)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    slices.add(is_done.set)
    await asyncio.wait_for(is_done.wait(), 10)
    assert done == [2, 3, 0, 1]


async def test_a_function_that_fails_does_not_keep_the_next_one_waiting(caplog: pytest.LogCaptureFixture) -> None:
    slices, done = Slices(asyncio.get_running_loop()), asyncio.Event()

    def fail() -> None:
        raise RuntimeError("for the log")

    slices.add(fail)
    slices.add(done.set)
    await asyncio.wait_for(done.wait(), 10)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
