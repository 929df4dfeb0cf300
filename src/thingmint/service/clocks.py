"""Owns the service's clock: the machine's clock on SQLite; on PostgreSQL the database's, which all nodes share.

All shared state uses this clock: expiry, leases, sweeps, dates of certificates, the window of signatures, audit
entries. A node measures the database's clock at its start and every two seconds. Between measurements it adds the time
of the machine's monotonic clock, so setting the wall clock has no effect on callers and devices. A node whose wall
clock is far off still issues nothing and sweeps nothing: its time synchronization has failed, and other programs on the
machine use the wrong clock.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from msgspec import Struct

from thingmint.core.errors import InvalidRequest, ServiceUnavailable, Throttled
from thingmint.core.operational_log import OperationalLog

MOST_SKEW = timedelta(seconds=60)
"""With a larger difference, a node is not ready."""
_NOTEWORTHY_SKEW = timedelta(seconds=5)
MEASURE_SECONDS = 2.0
_FARTHEST = timedelta(days=366 * 40)
# The database reads its clock between query and answer, so this bounds the error; a slower answer is discarded.
_LONGEST_ROUND_TRIP_SECONDS = 2.0
_LARGEST_WAIT = timedelta(seconds=1)
"""The clock stands still instead of going back by so much: half of the longest round trip, the largest error."""
# Only Linux has it. Linux's monotonic clock stops while the machine sleeps; this one does not.
_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def machine_time() -> datetime:
    """Return the present by the machine's clock, aware, UTC."""
    return datetime.now(UTC)


def seconds_awake_or_asleep() -> float:
    """Return monotonic seconds, which on Linux include the time in which the machine sleeps."""
    return time.monotonic() if _BOOT_CLOCK is None else time.clock_gettime(_BOOT_CLOCK)


class SystemClock:
    """The machine's clock, for a registry on one machine."""

    def now(self) -> datetime:
        """Return the present, aware, UTC."""
        return machine_time()

    def seen_by_clients(self) -> datetime:
        """Return the present for signatures of requests and for presigned URLs, aware, UTC."""
        return machine_time()

    @property
    def skew(self) -> timedelta:
        """Return zero: there is no second clock."""
        return timedelta(0)

    def require_right(self) -> None:
        """Return."""

    async def measure(self) -> None:
        """Return."""


class MovableClock(SystemClock):
    """The machine's clock plus an offset that tests set, for the test mode."""

    def __init__(self) -> None:
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        """Return the present plus the offset, aware, UTC."""
        return machine_time() + self._ahead

    def advance(self, by: timedelta) -> None:
        """Add to the offset; raise InvalidRequest if the sum is too large."""
        if abs(self._ahead + by) > _FARTHEST:
            raise InvalidRequest(f"The clock may be at most {_FARTHEST.days} days from the machine's")
        self._ahead += by

    def set_right(self) -> None:
        """Remove the offset."""
        self._ahead = timedelta(0)


class DatabaseClock:
    """The clock of the database that nodes share; call `measure` before any other method.

    A measurement can be wrong by half a round trip. The next one changes the time only if it proves the present time
    wrong, and `now` then stands still instead of going back by up to a second: what a node does later has no earlier
    date. When the database's clock itself is set back by more than a second, `now` follows it.
    """

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
        self._latest = datetime.min.replace(tzinfo=UTC)

    async def measure(self) -> None:
        """Measure the database's clock; keep the last measurement if the answer agrees with it or took too long.

        Raises ServiceUnavailable or Throttled if the database does not answer.
        """
        began = self._monotonic()
        asked = await self._ask()
        ended = self._monotonic()
        took = timedelta(seconds=ended - began)
        if self._measured is None or (
            took.total_seconds() <= _LONGEST_ROUND_TRIP_SECONDS and not asked <= self._counted() <= asked + took
        ):
            self._measured = asked + took / 2, ended

    def now(self) -> datetime:
        """Return the present by the database's clock, aware, UTC."""
        present = self._counted()
        if not timedelta(0) < self._latest - present <= _LARGEST_WAIT:
            self._latest = present
        return self._latest

    def _counted(self) -> datetime:
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
        """Return if this node may issue and sweep; raise ServiceUnavailable if its clock differs too much."""
        if abs(self.skew) > MOST_SKEW:
            raise ServiceUnavailable("The clock of this node differs from the database's by more than 60 seconds")


ServiceClock: TypeAlias = SystemClock | DatabaseClock


class SkewWatch(Struct):
    """Measures the clock periodically; updates the metric each time, and logs when the state changes."""

    clock: ServiceClock
    log: OperationalLog
    observe: Callable[[float], None]
    _state: timedelta = timedelta(0)

    async def turn(self) -> None:
        """Measure once if the database answers, update the metric, and log a changed state."""
        with contextlib.suppress(ServiceUnavailable, Throttled):
            # Without an answer, the last measurement stays in use.
            await self.clock.measure()
        skew = self.clock.skew
        self.observe(skew.total_seconds())
        state = next((limit for limit in (MOST_SKEW, _NOTEWORTHY_SKEW) if abs(skew) > limit), timedelta(0))
        if state != self._state:
            self._state = state
            self._tell(skew)

    async def run(self) -> None:
        """Measure every two seconds until cancelled."""
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
    """Measure at once, and then in the background until the context ends."""
    await watch.turn()
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})
