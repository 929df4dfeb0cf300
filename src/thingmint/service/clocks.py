"""Owns what time it is: the machine's on SQLite; on PostgreSQL the database's, which is one for all nodes.

Every decision about what nodes share takes its time from here: expiry, leases, sweeps, dates of certificates, the
window of signatures, audit entries. A node measures the database's clock at its start and every two seconds, and counts
on from the last measurement by the machine's monotonic clock, so that no setting of the machine's wall clock is noticed
by callers and devices. A node whose wall clock is far off is not trusted all the same: it has lost what keeps the
clocks of machines together, and other programs on it date by that clock. It issues nothing and sweeps nothing.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeAlias

from thingmint.core.errors import InvalidRequest, ServiceUnavailable, Throttled

MOST_SKEW = timedelta(seconds=60)
"""From here on a node is not ready."""
_NOTEWORTHY_SKEW = timedelta(seconds=5)
MEASURE_SECONDS = 2.0
_FARTHEST = timedelta(days=366 * 40)
# The answer tells a time between question and answer, so this bounds the error; a slower answer is no measurement.
_LONGEST_ROUND_TRIP_SECONDS = 2.0
# Linux has it; its monotonic clock stands still while the machine sleeps.
_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class Log(Protocol):
    """Where changes of the clock's state are told."""

    def error(self, event: str, **facts: object) -> object:
        """Write a line about a fault."""
        ...

    def warning(self, event: str, **facts: object) -> object:
        """Write a line about what may become one."""
        ...

    def info(self, event: str, **facts: object) -> object:
        """Write a line about its end."""
        ...


def machine_time() -> datetime:
    """Return the present by the machine's clock, aware, UTC."""
    return datetime.now(UTC)


def seconds_awake_or_asleep() -> float:
    """Return seconds that nobody can set, and that go on while the machine sleeps where the system counts such."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


class SystemClock:
    """The machine's clock, for a registry that no other machine shares."""

    def now(self) -> datetime:
        """Return the present, aware, UTC."""
        return machine_time()

    def seen_by_clients(self) -> datetime:
        """Return the present by which clients sign and verify."""
        return machine_time()

    @property
    def skew(self) -> timedelta:
        """Return zero: there is no clock to differ from."""
        return timedelta(0)

    def require_right(self) -> None:
        """Return."""

    async def measure(self) -> None:
        """Return."""


class MovableClock(SystemClock):
    """The machine's clock and what tests added to it, for the test mode."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        """Return the present as tests want it, aware, UTC."""
        return machine_time() + self._ahead

    def advance(self, by: timedelta) -> None:
        """Tell another time from now on; raise InvalidRequest for one that is too far away to count with."""
        if abs(self._ahead + by) > _FARTHEST:
            raise InvalidRequest(f"The clock may be at most {_FARTHEST.days} days from the machine's")
        self._ahead += by

    def set_right(self) -> None:
        """Tell the machine's time again."""
        self._ahead = timedelta(0)


class DatabaseClock:
    """The clock of the database that nodes share; `measure` must have succeeded once before anything is asked."""

    def __init__(
        self,
        ask: Callable[[], Awaitable[datetime]],
        wall: Callable[[], datetime] = machine_time,
        monotonic: Callable[[], float] = seconds_awake_or_asleep,
    ) -> None:
        self._ask = ask
        self._wall = wall
        self._monotonic = monotonic
        self._measured: tuple[datetime, float] | None = None

    async def measure(self) -> None:
        """Take the database's time; keep the last measurement if the answer took too long to tell it.

        Raises ServiceUnavailable or Throttled if the database does not answer.
        """
        began = self._monotonic()
        asked = await self._ask()
        ended = self._monotonic()
        if self._measured is None or ended - began <= _LONGEST_ROUND_TRIP_SECONDS:
            self._measured = asked + timedelta(seconds=(ended - began) / 2), ended

    def now(self) -> datetime:
        """Return the present by the database's clock, aware, UTC."""
        assert self._measured is not None
        at, moment = self._measured
        return at + timedelta(seconds=self._monotonic() - moment)

    def seen_by_clients(self) -> datetime:
        """Return the present by which clients sign and verify: the database's."""
        return self.now()

    @property
    def skew(self) -> timedelta:
        """Return how far the machine's clock is ahead of the database's; negative if it is behind."""
        return self._wall() - self.now()

    def require_right(self) -> None:
        """Return if this node may issue and sweep; raise ServiceUnavailable if its clock is too far off."""
        if abs(self.skew) > MOST_SKEW:
            raise ServiceUnavailable("The clock of this node differs from the database's by more than 60 seconds")


ServiceClock: TypeAlias = SystemClock | DatabaseClock


@dataclass(slots=True)
class SkewWatch:
    """Measures again and again, and tells of the skew: to the metric each time, to the log when its state changes."""

    clock: ServiceClock
    log: Log
    observe: Callable[[float], None]
    _state: timedelta = timedelta(0)

    async def turn(self) -> None:
        """Measure once, if the database answers, and tell what came out."""
        with contextlib.suppress(ServiceUnavailable, Throttled):
            # Without an answer the time is counted on from the last one.
            await self.clock.measure()
        skew = self.clock.skew
        self.observe(skew.total_seconds())
        state = next((limit for limit in (MOST_SKEW, _NOTEWORTHY_SKEW) if abs(skew) > limit), timedelta(0))
        if state != self._state:
            self._state = state
            self._tell(skew)

    async def run(self) -> None:
        """Take turns until cancelled."""
        while True:
            await self.turn()
            await asyncio.sleep(MEASURE_SECONDS)

    def _tell(self, skew: timedelta) -> None:
        facts = {"skew_seconds": round(skew.total_seconds(), 3)}
        if self._state == MOST_SKEW:
            self.log.error("the node's clock is wrong: it issues and sweeps nothing until it is right", **facts)
        elif self._state:
            self.log.warning("the node's clock differs from the database's: synchronise the clocks", **facts)
        else:
            self.log.info("the node's clock agrees with the database's", **facts)


@contextlib.asynccontextmanager
async def skew_watched(watch: SkewWatch) -> AsyncIterator[None]:
    """Take a turn at once and others in the background until the context ends."""
    await watch.turn()
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
