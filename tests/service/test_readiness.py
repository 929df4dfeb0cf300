"""Readiness is answered soon however many ask, and the clock is watched."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from tests.support.clients.signing import SettableClock
from tests.support.registration.authority import NOW
from tests.support.services.recorded_log import RecordedLog

from thingmint.core.errors import ServiceUnavailable
from thingmint.service import readiness as module
from thingmint.service.background import BackgroundWork
from thingmint.service.readiness import ClockWatch, Readiness, require_listening

CALLERS = 30


@dataclass
class Database:
    """A database that works, fails or hangs, and counts how often it was asked."""

    failure: Exception | None = None
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: int = 0

    async def check(self) -> None:
        """Answer when that may be."""
        self.asked += 1
        await self.may_answer.wait()
        if self.failure is not None:
            raise self.failure


def no_check() -> None:
    """A clock that is right."""


async def answers(readiness: Readiness) -> list[str]:
    """Return what each of many callers is told."""
    found = await asyncio.gather(*(readiness.check() for _ in range(CALLERS)), return_exceptions=True)
    return [type(each).__name__ if isinstance(each, BaseException) else "ready" for each in found]


async def test_many_callers_cost_the_database_one_check() -> None:
    database = Database()
    database.may_answer.set()
    readiness = Readiness(database.check, no_check)
    assert await answers(readiness) == ["ready"] * CALLERS
    assert await answers(readiness) == ["ready"] * CALLERS
    assert database.asked == 1


@pytest.mark.parametrize("failure", [ServiceUnavailable(), OSError("disk"), RuntimeError("mistake")], ids=repr)
async def test_a_failure_is_found_once_for_all_that_ask_and_its_text_is_not_told(failure: Exception) -> None:
    database = Database(failure)
    database.may_answer.set()
    readiness = Readiness(database.check, no_check)
    assert await answers(readiness) == ["ServiceUnavailable"] * CALLERS
    assert database.asked == 1
    with pytest.raises(ServiceUnavailable) as refused:
        await readiness.check()
    assert refused.value.message == "The database cannot be used"
    assert refused.value.__cause__ is failure

    # What is mended is seen at once.
    database.failure = None
    await readiness.check()
    assert database.asked == 3


async def test_a_database_that_hangs_keeps_nobody_waiting_and_is_asked_once() -> None:
    database = Database()
    readiness = Readiness(database.check, no_check, answer_seconds=0.05)
    for _ in range(3):
        assert await answers(readiness) == ["ServiceUnavailable"] * CALLERS
    assert database.asked == 1
    database.may_answer.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await answers(readiness) == ["ready"] * CALLERS


async def test_a_caller_that_leaves_does_not_end_the_check_of_others() -> None:
    database = Database()
    readiness = Readiness(database.check, no_check)
    leaving, staying = (asyncio.create_task(readiness.check()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.sleep(0)
    database.may_answer.set()
    await staying
    assert leaving.cancelled()
    assert database.asked == 1


@dataclass(frozen=True)
class Period:
    """The validity of an issuer."""

    not_before: datetime
    not_after: datetime


async def test_a_wrong_clock_is_told_once_and_makes_the_service_unready_until_it_is_right() -> None:
    clock, log, database = SettableClock(NOW), RecordedLog(), Database()
    database.may_answer.set()
    watch = ClockWatch(clock.now, lambda: Period(NOW - timedelta(days=1), NOW + timedelta(days=1)), log)
    readiness = Readiness(database.check, watch.check)
    await readiness.check()
    for _ in range(2):
        clock.at = NOW - timedelta(days=2)
        for _ in range(3):
            with pytest.raises(ServiceUnavailable, match="clock"):
                await readiness.check()
        clock.at = NOW
        await readiness.check()
    assert [line[:2] for line in log.lines] == [
        ("error", "the clock is wrong: nothing is issued until it is right"),
        ("info", "the active issuer is valid again: certificates are issued"),
    ] * 2


async def test_the_end_of_the_issuer_is_told_once_and_the_rest_of_the_service_is_ready() -> None:
    clock, log, database = SettableClock(NOW), RecordedLog(), Database()
    database.may_answer.set()
    period = Period(NOW - timedelta(days=1), NOW + timedelta(days=1))
    readiness = Readiness(database.check, ClockWatch(clock.now, lambda: period, log).check)
    clock.at = NOW + timedelta(days=2)
    for _ in range(3):
        await readiness.check()
    assert [(kind, "has ended" in line) for kind, line, _ in log.lines] == [("error", True)]
    # Another issuer is active.
    period = Period(NOW, NOW + timedelta(days=100))
    await readiness.check()
    assert [line[:2] for line in log.lines[1:]] == [
        ("info", "the active issuer is valid again: certificates are issued")
    ]


async def test_a_wrong_clock_is_told_although_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOCK_CHECK_SECONDS", 0.0)
    clock, log = SettableClock(NOW - timedelta(days=2)), RecordedLog()
    watch = ClockWatch(clock.now, lambda: Period(NOW, NOW + timedelta(days=1)), log)
    async with BackgroundWork([watch.run], log):
        while not log.lines:  # noqa: ASYNC110  a log sets no event
            await asyncio.sleep(0)
        clock.at = NOW + timedelta(hours=1)
        while len(log.lines) < 2:  # noqa: ASYNC110  as above
            await asyncio.sleep(0)


def test_devices_are_served_while_their_port_listens() -> None:
    require_listening(True)
    with pytest.raises(ServiceUnavailable, match="device port"):
        require_listening(False)
