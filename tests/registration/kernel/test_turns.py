"""How long computations share the event loop."""

import asyncio
from collections.abc import Generator

import pytest

from thingmint.core.errors import LimitExceeded
from thingmint.registration.kernel.turns import SLICE_SECONDS, Computations, Pace


class CountedClock:
    """A clock on which each look takes a millisecond."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def steps(count: int, done: list[str], name: str = "") -> Generator[None, None, str]:
    for _ in range(count):
        done.append(name)
        yield
    return name


async def turns_of_the_loop(until: "asyncio.Task[str]") -> int:
    turns = 0
    while not until.done():
        turns += 1
        await asyncio.sleep(0)
    return turns


def test_steps_are_taken_in_slices() -> None:
    async def run() -> tuple[str, int]:
        task = asyncio.create_task(Computations(CountedClock()).run(steps(1000, [], "end")))
        turns = await turns_of_the_loop(task)
        return task.result(), turns

    result, turns = asyncio.run(run())
    assert result == "end"
    assert turns >= 1000 // (SLICE_SECONDS * 1000)


def test_short_work_ends_at_once() -> None:
    async def run() -> int:
        return await turns_of_the_loop(asyncio.create_task(Computations(lambda: 0.0).run(steps(1000, []))))

    assert asyncio.run(run()) == 1


def test_one_computation_at_a_time_has_a_slice_in_a_turn_of_the_loop() -> None:
    async def run() -> list[int]:
        clock, done = CountedClock(), list[str]()
        shared = Computations(clock)
        tasks = [asyncio.create_task(shared.run(steps(200, done, name))) for name in "abcdefgh"]
        await asyncio.sleep(0)
        in_a_turn = []
        while not all(task.done() for task in tasks):
            before = len(done)
            await asyncio.sleep(0)
            in_a_turn.append(len(done) - before)
        return in_a_turn

    in_a_turn = asyncio.run(run())
    assert sum(in_a_turn) > 1500
    assert max(in_a_turn) <= SLICE_SECONDS * 1000 + 1


def test_computations_that_wait_are_served_in_turn() -> None:
    async def run() -> list[str]:
        done: list[str] = []
        shared = Computations(CountedClock())
        await asyncio.gather(*(shared.run(steps(200, done, name)) for name in "ab"))
        return done

    done = asyncio.run(run())
    # Neither has ended before the other was half-way.
    assert done[:200].count("a") < 120
    assert done[:200].count("b") < 120


def test_errors_of_the_computation_are_raised() -> None:
    def failing() -> Generator[None, None, None]:
        yield
        raise LimitExceeded("too much")

    with pytest.raises(LimitExceeded):
        asyncio.run(Computations().run(failing()))


def test_a_loop_that_never_waits_is_interrupted() -> None:
    async def run() -> int:
        async def never_waits() -> str:
            pace = Pace(CountedClock())
            assert not pace.is_over
            for _ in range(1000):
                await pace.rest()
            return ""

        return await turns_of_the_loop(asyncio.create_task(never_waits()))

    assert asyncio.run(run()) >= 1000 // (SLICE_SECONDS * 1000 + 1)
