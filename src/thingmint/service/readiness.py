"""Owns the readiness checks for callers of the API and for devices. Independent of HTTP and MQTT."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

from msgspec import Struct, field

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.operational_log import OperationalLog

# Load balancers and orchestrators wait a second by default. Without a result by then, the answer is not ready.
ANSWER_SECONDS = 0.8
# How long a success is cached, so that many callers cost the database no more than one.
BELIEVED_SECONDS = 1.0
CLOCK_CHECK_SECONDS = 1.0
_STEP_SECONDS = 0.04
# What the log says when the clock comes to be before, inside of, or past the validity of the active issuer.
_EARLY = "the clock is wrong: nothing is issued until it is right"
_VALID = "the active issuer is valid again: certificates are issued"
_ENDED = (
    "the active issuer has ended, or the clock is wrong: nothing is issued until it is rotated, or the clock is set"
)


class Validity(Protocol):
    """The validity of an issuer."""

    @property
    def not_before(self) -> datetime:
        """The first moment."""
        ...

    @property
    def not_after(self) -> datetime:
        """The last moment."""
        ...


class ClockWatch(Struct):
    """Compares the service's clock with the validity of the active issuer; ``check_skew`` with other nodes'.

    A clock before the issuer's beginning is wrong, and makes the service unready. One past its end is so more probably
    because the issuer has ended: everything but issuing is served.
    """

    now: Callable[[], datetime]
    active_issuer: Callable[[], Validity]
    log: OperationalLog
    check_skew: Callable[[], None] = lambda: None
    _told: str = _VALID

    def check(self) -> None:
        """Return if the clock may be right; raise ServiceUnavailable otherwise. Changes are logged."""
        self.check_skew()
        now, issuer = self.now(), self.active_issuer()
        found = _EARLY if now < issuer.not_before else _VALID if now <= issuer.not_after else _ENDED
        if found != self._told:
            self._told = found
            facts = {
                "now": now.isoformat(),
                "authority_begins": issuer.not_before.isoformat(),
                "authority_ends": issuer.not_after.isoformat(),
            }
            tell = self.log.info if found == _VALID else self.log.error
            tell(found, **facts)
        if found == _EARLY:
            raise ServiceUnavailable("The service's clock is before the beginning of its issuing authority")

    async def run(self) -> None:
        """Check periodically, so that a wrong clock is logged even without requests."""
        while True:
            with contextlib.suppress(ServiceUnavailable):
                self.check()
            await asyncio.sleep(CLOCK_CHECK_SECONDS)


class Readiness(Struct):
    """Checks whether requests can be served; answers within a second for any number of callers and any database delay.

    At most one check of the database runs at a time; all callers share it, and its success is cached for a second. Once
    a check takes longer than callers wait, all callers get a failure immediately until the check ends.
    """

    check_store: Callable[[], Awaitable[None]]
    check_clock: Callable[[], None]
    answer_seconds: float = ANSWER_SECONDS
    _checking: "asyncio.Task[None] | None" = None
    _is_late: bool = False
    _found: ServiceUnavailable | None = None
    _believed_until: float = field(default=float("-inf"))

    async def check(self) -> None:
        """Return if requests can be served; raise ServiceUnavailable otherwise."""
        self.check_clock()
        if self._checking is None and time.monotonic() >= self._believed_until:
            self._is_late = False
            self._checking = asyncio.create_task(self._ask())
        await self._wait()
        if self._checking is not None:
            self._is_late = True
            raise ServiceUnavailable("The database does not answer")
        if self._found is not None:
            # A new exception for each caller: raising one object in several tasks would mix up their tracebacks.
            raise ServiceUnavailable(self._found.message) from self._found.__cause__

    async def _wait(self) -> None:
        """Wait for the running check, unless another caller has already waited for it in vain.

        Time in which the event loop did not run is not counted: a busy machine is not a failed database.
        """
        waited = 0.0
        while self._checking is not None and not self._is_late and waited < self.answer_seconds:
            began = time.monotonic()
            await asyncio.wait({self._checking}, timeout=_STEP_SECONDS)
            waited += min(time.monotonic() - began, 1.5 * _STEP_SECONDS)

    async def _ask(self) -> None:
        try:
            await self.check_store()
        except Exception as error:  # noqa: BLE001  with any error the database cannot be used
            self._found = ServiceUnavailable("The database cannot be used")
            self._found.__cause__ = error.with_traceback(None)
        else:
            self._found = None
            self._believed_until = time.monotonic() + BELIEVED_SECONDS
        finally:
            self._checking = None


def require_listening(is_listening: bool) -> None:
    """Return if devices can connect; raise ServiceUnavailable otherwise."""
    if not is_listening:
        raise ServiceUnavailable("The device port does not accept connections")
