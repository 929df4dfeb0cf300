"""Owns the background tasks of a node: starts them, restarts each one after a failure, and ends them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from thingmint.core.errors import ThingmintError
from thingmint.core.operational_log import OperationalLog
from thingmint.host.service_log import service_log
from thingmint.registration.access.access_keys import purge_expired
from thingmint.service.logged_events import LoggedEvents
from thingmint.service.opening import Registry

_PAUSE_SECONDS = 5.0
_PURGE_SECONDS = 3600.0


class BackgroundWork:
    """A context that runs functions, each in its own task; a function that fails does not stop the others.

    Each function runs until it is cancelled. If it raises, the error is logged and the function is called again after a
    pause.
    """

    def __init__(
        self, works: Sequence[Callable[[], Awaitable[None]]], log: OperationalLog, pause_seconds: float = _PAUSE_SECONDS
    ) -> None:
        self._works = works
        self._log = log
        self._pause_seconds = pause_seconds
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start every function in a task."""
        self._tasks = [asyncio.create_task(self._kept_up(work)) for work in self._works]
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Cancel every task and wait until all have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _kept_up(self, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001  the service goes on after any error
                # Only the type: the messages of other libraries' errors may quote their arguments, such as secrets.
                self._log.error("background work failed", cause=type(error).__name__)
            await asyncio.sleep(self._pause_seconds)


async def purge_credentials(registry: Registry, events: LoggedEvents) -> None:
    """Remove temporary credentials that have expired, now and every hour until cancelled."""
    while True:
        try:
            registry.clock.require_right()
            purged = await purge_expired(registry.store, registry.clock, registry.scope.region, events)
        except ThingmintError as error:
            service_log.warning("expired credentials cannot be removed yet", cause=type(error).__name__)
        else:
            if purged:
                service_log.info("expired credentials removed", count=purged)
        await asyncio.sleep(_PURGE_SECONDS)
