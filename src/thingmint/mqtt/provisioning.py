"""Owns requests for certificates between their PUBACK and their answer: how many there may be, and whose they are.

An answer may hold a private key. It goes to the connection object that asked, by a method call: no topic, client id,
session or queue leads anywhere else. If the connection is gone by then, so is the answer.
"""

import asyncio
import logging
from typing import Final, Protocol

from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.mqtt.gateway_limits import GatewayLimits
from thingmint.mqtt.ports import FleetAnswer, FleetApi, FleetRequester

# What is cancelled may still have a transaction to roll back.
_LEAVE_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class Asker(Protocol):
    """A connection that asks."""

    provisioning: int
    """How many of its requests are not answered yet; counted here."""

    def answered(self, answer: FleetAnswer) -> None:
        """Send the answer to the device, or drop it if the connection is over."""
        ...


class ProvisioningDesk:
    """Takes requests while there is room, and turns others away at once: no device waits without an answer."""

    def __init__(self, fleet: FleetApi, limits: GatewayLimits) -> None:
        self._fleet = fleet
        self._limits = limits
        self._requests: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._requests)

    def request(self, asker: Asker, requester: FleetRequester, topic: str, payload: bytes) -> None:
        """Have the request answered."""
        if (
            self._is_closing
            or asker.provisioning >= self._limits.max_provisioning_per_connection
            or len(self._requests) >= self._limits.max_provisioning
        ):
            asker.answered(self._fleet.rejection(topic, Throttled()))
            return
        asker.provisioning += 1
        task = asyncio.get_running_loop().create_task(self._answer(asker, requester, topic, payload))
        self._requests.add(task)
        task.add_done_callback(self._requests.discard)

    async def settle(self, grace: float) -> None:
        """Take no more, wait until every request is answered, at most this many seconds, and abandon the rest."""
        self._is_closing = True
        if self._requests:
            _answered, abandoned = await asyncio.wait(self._requests, timeout=grace)
            for task in abandoned:
                task.cancel()
            if abandoned:
                log.warning("%d provisioning requests were abandoned at the end of the grace period", len(abandoned))
                await asyncio.wait(abandoned, timeout=_LEAVE_SECONDS)

    async def _answer(self, asker: Asker, requester: FleetRequester, topic: str, payload: bytes) -> None:
        try:
            answer = await self._fleet.answer(requester, topic, payload)
        except Exception:
            log.exception("a provisioning request failed")
            answer = self._fleet.rejection(topic, ServiceUnavailable())
        finally:
            asker.provisioning -= 1
        asker.answered(answer)
