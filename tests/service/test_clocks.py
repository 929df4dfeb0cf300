"""The service's time is the database's: measured, counted on meanwhile, and compared with the machine's own."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from tests.support.clients.signing import SettableClock
from tests.support.registration.authority import NOW
from tests.support.services.recorded_log import RecordedLog

import thingmint.service.clocks as module
from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.service.clocks import DatabaseClock, SkewWatch, SystemClock, skew_watched


@dataclass
class Node:
    """A machine and the database it asks; all three of their clocks are set by the test."""

    wall: SettableClock = field(default_factory=lambda: SettableClock(NOW))
    database: SettableClock = field(default_factory=lambda: SettableClock(NOW))
    seconds: float = 1000.0
    answer_takes: float = 0.0
    part_before: float = 0.5
    """How much of that time passes before the database reads its clock."""
    refusal: Exception | None = None

    async def ask(self) -> object:
        """Answer as the database does."""
        self.seconds += self.answer_takes * self.part_before
        if self.refusal is not None:
            raise self.refusal
        answer = self.database.now()
        self.seconds += self.answer_takes * (1 - self.part_before)
        return answer

    def clock(self) -> DatabaseClock:
        return DatabaseClock(self.ask, self.wall.now, lambda: self.seconds)  # type: ignore[arg-type]  # it is a time


async def test_the_time_is_the_databases_counted_on_since_it_was_asked() -> None:
    node = Node(wall=SettableClock(NOW + timedelta(minutes=10)), answer_takes=0.5)
    clock = node.clock()
    await clock.measure()
    assert clock.now() == NOW + timedelta(seconds=0.25)
    node.seconds += 7
    # Setting the machine's clock changes nothing.
    node.wall.at = NOW - timedelta(days=1)
    assert clock.now() == NOW + timedelta(seconds=7.25)
    node.database.at = NOW + timedelta(seconds=9)
    await clock.measure()
    assert clock.now() == NOW + timedelta(seconds=9.25)


async def test_a_slow_answer_is_no_measurement_unless_there_is_no_other() -> None:
    node = Node(answer_takes=8.0)
    clock = node.clock()
    await clock.measure()
    assert clock.now() == NOW + timedelta(seconds=4)
    node.database.at = NOW + timedelta(minutes=5)
    await clock.measure()
    assert clock.now() == NOW + timedelta(seconds=12)
    node.answer_takes = 2.0
    await clock.measure()
    assert clock.now() == NOW + timedelta(minutes=5, seconds=1)


async def test_a_better_measurement_does_not_turn_the_time_back() -> None:
    node = Node(answer_takes=0.4, part_before=1.0)
    clock = node.clock()
    await clock.measure()
    # The database answered at the end of the round trip, so the time is ahead by half of it.
    assert clock.now() == NOW + timedelta(seconds=0.2)
    node.answer_takes = 0.0
    await clock.measure()
    seen = [clock.now()]
    for _ in range(5):
        node.seconds += 0.1
        seen.append(clock.now())
    assert seen == sorted(seen)
    assert seen[0] == NOW + timedelta(seconds=0.2)
    assert seen[-1] == NOW + timedelta(seconds=0.5)


async def test_an_answer_that_agrees_changes_nothing() -> None:
    node = Node()
    clock = node.clock()
    await clock.measure()
    node.seconds, node.answer_takes = node.seconds + 2, 0.2
    node.database.at = NOW + timedelta(seconds=2.05)
    await clock.measure()
    # The middle of the answer would have been 2.15.
    assert clock.now() == NOW + timedelta(seconds=2.2)


async def test_a_database_whose_clock_is_set_back_is_followed() -> None:
    node = Node()
    clock = node.clock()
    await clock.measure()
    assert clock.now() == NOW
    node.database.at = NOW - timedelta(hours=1)
    await clock.measure()
    assert clock.now() == NOW - timedelta(hours=1)


@pytest.mark.parametrize("off", [60, -60])
async def test_a_node_is_trusted_up_to_a_minute(off: int) -> None:
    node = Node(wall=SettableClock(NOW + timedelta(seconds=off)))
    clock = node.clock()
    await clock.measure()
    assert clock.skew == timedelta(seconds=off)
    clock.require_right()
    node.wall.at += timedelta(seconds=1 if off > 0 else -1)
    with pytest.raises(ServiceUnavailable, match="differs from the database's by more than 60 seconds"):
        clock.require_right()


async def test_a_machine_alone_is_always_right() -> None:
    clock = SystemClock()
    await clock.measure()
    clock.require_right()
    assert clock.skew == timedelta(0)


async def test_the_skew_is_told_when_its_state_changes_and_measured_each_time() -> None:
    node, log, observed = Node(), RecordedLog(), list[float]()
    watch = SkewWatch(node.clock(), log, observed.append)
    offsets = [0, 5, 6, -7, 61, -600, 8, 0]
    for offset in offsets:
        node.wall.at = NOW + timedelta(seconds=offset)
        await watch.turn()
    assert observed == offsets
    assert [(level, fields["skew_seconds"]) for level, _, fields in log.lines] == [
        ("warning", 6.0),
        ("error", 61.0),
        ("warning", 8.0),
        ("info", 0.0),
    ]


@pytest.mark.parametrize("refusal", [ServiceUnavailable("away"), Throttled("busy")])
async def test_without_an_answer_the_time_goes_on(refusal: Exception) -> None:
    node, observed = Node(), list[float]()
    clock = node.clock()
    await clock.measure()
    node.refusal, node.seconds = refusal, node.seconds + 3
    await SkewWatch(clock, RecordedLog(), observed.append).turn()
    assert clock.now() == NOW + timedelta(seconds=3)
    assert observed == [-3.0]


async def test_the_skew_is_watched_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEASURE_SECONDS", 0.0)
    observed = list[float]()
    async with skew_watched(SkewWatch(Node().clock(), RecordedLog(), observed.append)):
        assert observed == [0.0]
        while len(observed) < 4:  # noqa: ASYNC110  a list sets no event
            await asyncio.sleep(0)
    seen = len(observed)
    await asyncio.sleep(0)
    assert len(observed) == seen
