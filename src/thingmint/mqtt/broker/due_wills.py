"""Owns the queue of due wills that are not decided yet. They are decided one after the other; accounts take turns."""

import asyncio
import logging
from collections.abc import Callable, Hashable
from typing import NamedTuple

from thingmint.mqtt.codec.packets import Publish
from thingmint.mqtt.data_plane import WillRight
from thingmint.mqtt.pacing.fair_queue import FairQueue
from thingmint.registration.kernel.turns import Pace

log = logging.getLogger(__name__)


class _Due(NamedTuple):
    message: Publish
    right: WillRight
    decided: Callable[[bool], None]


class DueWills:
    """Decides for each will whether it may be published; an account's wills in the order in which they became due."""

    def __init__(self) -> None:
        self._waiting: FairQueue[_Due] = FairQueue()
        self._worker: asyncio.Task[None] | None = None

    def add(
        self,
        account: Hashable,
        client_id: str,
        message: Publish,
        right: WillRight,
        decided: Callable[[bool], None],
    ) -> None:
        """Decide on a client's will; ``decided`` is called once, with False if the service stops first."""
        self._waiting.add(account, client_id, _Due(message, right, decided))
        if self._worker is None:
            self._worker = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Drop the wills that are not decided."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
            # If a task is cancelled before its first step, its ``finally`` does not run.
            self._worker = None
        for due in self._waiting.clear():
            self._tell(due, is_allowed=False)

    def _tell(self, due: _Due, *, is_allowed: bool) -> None:
        try:
            due.decided(is_allowed)
        except Exception:
            # The following wills must still be decided.
            log.exception("a will could not be published")

    async def _work(self) -> None:
        pace = Pace()
        try:
            while len(self._waiting):
                await self._decide(self._waiting.next())
                await pace.rest()
        finally:
            self._worker = None

    async def _decide(self, due: _Due) -> None:
        is_allowed = False
        try:
            is_allowed = await due.right.allows(due.message)
        finally:
            self._tell(due, is_allowed=is_allowed)
