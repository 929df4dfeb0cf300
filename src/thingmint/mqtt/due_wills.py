"""Owns the wills that are due and not decided yet: one after the other is decided, in slices of the event loop."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from thingmint.mqtt.data_plane import WillRight
from thingmint.mqtt.packets import Publish
from thingmint.registration.turns import Pace

log = logging.getLogger(__name__)


class _Due(NamedTuple):
    message: Publish
    right: WillRight
    decided: Callable[[bool], None]


class DueWills:
    """Asks for each will whether it may be published, in the order in which they became due."""

    def __init__(self) -> None:
        self._due: deque[_Due] = deque()
        self._worker: asyncio.Task[None] | None = None

    def add(self, message: Publish, right: WillRight, decided: Callable[[bool], None]) -> None:
        """Decide on a will; ``decided`` is called once, with False if the service stops first."""
        self._due.append(_Due(message, right, decided))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def settled(self) -> None:
        """Return when every will that was due has been decided."""
        while self._worker is not None:
            await asyncio.wait({self._worker})

    async def stop(self) -> None:
        """Publish none of the wills that are left."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        while self._due:
            self._due.popleft().decided(False)

    def _tell(self, due: _Due, is_allowed: bool) -> None:
        try:
            due.decided(is_allowed)
        except Exception:
            # The wills behind it must be decided all the same.
            log.exception("a will could not be published")

    async def _work(self) -> None:
        pace = Pace()
        try:
            while self._due:
                due = self._due[0]
                is_allowed = await due.right.allows(due.message)
                self._due.popleft()
                self._tell(due, is_allowed)
                await pace.rest()
        finally:
            self._worker = None
