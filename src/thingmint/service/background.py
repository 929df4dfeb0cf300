"""Owns the work that the service does by itself, beside requests: bulk registrations, and the sweep of what has ended.

Whatever goes wrong with one of them is logged and tried again; the rest of the service does not notice.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Protocol

from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning.bulk_runner import BulkRunner
from thingmint.registration.provisioning.sweep import sweep

_PAUSE_SECONDS = 5.0


class Log(Protocol):
    """Where failures are told."""

    def error(self, event: str, **facts: object) -> object:
        """Write a line."""
        ...


@contextlib.asynccontextmanager
async def background(
    authority: RegistrationAuthority, owner: str, log: Log, pause_seconds: float = _PAUSE_SECONDS
) -> AsyncIterator[None]:
    """Do the work until the context ends; ``owner`` is a name for this process that no other one has."""
    works = (BulkRunner(authority, owner).run, partial(sweep, authority))
    tasks = [asyncio.create_task(_kept_up(work, log, pause_seconds)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _kept_up(work: Callable[[], Awaitable[None]], log: Log, pause_seconds: float) -> None:
    while True:
        try:
            await work()
        except Exception as error:  # noqa: BLE001  whatever it is, the service goes on
            # By type alone: the texts of foreign errors may quote what they were given.
            log.error("background work failed", cause=type(error).__name__)  # noqa: TRY400  as said above
        await asyncio.sleep(pause_seconds)
