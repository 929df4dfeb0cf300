"""Owns the queue of requests for certificates between their PUBACK and their answer, and its limits.

An answer may contain a private key. It is passed by a method call to the connection object that sent the request, never
by a topic, client id, session or queue. If the connection has ended, the answer is dropped.

A few requests are executed at a time; the others wait, and accounts and certificates take turns. If the queue is full,
the newest request of the certificate that has most is refused in favour of a request of a certificate that has fewer.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from thingmint.api.wire.device_operation import DeviceRequest
from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.pacing.fair_queue import FairQueue
from thingmint.mqtt.rights.ports import DeviceAnswer, Requester, Responder
from thingmint.mqtt.transport.limits import GatewayLimits

# What is cancelled may still have a transaction to roll back.
_LEAVE_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class RequestingConnection(Protocol):
    """A connection that has sent requests."""

    provisioning: int
    """How many of its requests are not answered yet; this module counts them."""

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended, so that an answer cannot be sent."""
        ...

    def answered(self, answer: DeviceAnswer) -> None:
        """Send the answer to the device, or drop it if the connection has ended."""
        ...


@dataclass(frozen=True, slots=True)
class _ProvisioningRequest:
    connection: RequestingConnection
    requester: Requester
    asked: DeviceRequest
    payload: bytes = field(repr=False)


class _RequestsOfKind:
    """Requests of one kind, with the number that is executed at a time."""

    def __init__(self, at_once: int) -> None:
        self.waiting: FairQueue[_ProvisioningRequest] = FairQueue()
        self.free = at_once


class ProvisioningQueue:
    """Accepts requests while there is room, and refuses others at once, so that every request gets an answer."""

    def __init__(self, responder: Responder, limits: GatewayLimits, counters: Counters | None = None) -> None:
        self._responder = responder
        self._limits = limits
        self._counters = counters or Counters()
        # Keys take long to generate, and other requests do not wait for them.
        self._keys = _RequestsOfKind(limits.max_provisioning_keys_at_once)
        self._others = _RequestsOfKind(limits.max_provisioning_at_once)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False

    def __len__(self) -> int:
        return len(self._tasks) + len(self._keys.waiting) + len(self._others.waiting)

    def request(
        self, connection: RequestingConnection, requester: Requester, asked: DeviceRequest, payload: bytes
    ) -> None:
        """Queue the request, or refuse it if there is no room."""
        request = _ProvisioningRequest(connection, requester, asked, payload)
        line = self._keys if asked.operation.generates_key else self._others
        if self._is_closing or connection.provisioning >= self._limits.max_provisioning_per_connection:
            self._turn_away(request)
            return
        if len(self) >= self._limits.max_provisioning and not self._make_way(request):
            self._turn_away(request)
            return
        connection.provisioning += 1
        line.waiting.add(requester.device.scope, requester.device.principal_id, request)
        self._start_next(line)

    async def settle(self, grace: float) -> None:
        """Accept no more requests, wait at most ``grace`` seconds until all are answered, and abandon the rest."""
        self._is_closing = True
        deadline = asyncio.get_running_loop().time() + grace
        abandoned = 0
        while self._tasks:
            left = deadline - asyncio.get_running_loop().time()
            answered, _ = await asyncio.wait(self._tasks, timeout=max(0, left), return_when=asyncio.FIRST_COMPLETED)
            if not answered:
                abandoned = len(self)
                break
        for line in (self._keys, self._others):
            line.waiting.clear()
        if abandoned:
            tasks = set(self._tasks)
            for task in tasks:
                task.cancel()
            log.warning("%d provisioning requests were abandoned at the end of the grace period", abandoned)
            await asyncio.wait(tasks, timeout=_LEAVE_SECONDS)

    def _make_way(self, request: _ProvisioningRequest) -> bool:
        """Refuse a request of another certificate that has more requests; return whether there was one."""
        device = request.requester.device
        for line in sorted((self._keys, self._others), key=lambda each: -len(each.waiting)):
            found = line.waiting.make_way(device.scope, device.principal_id)
            if found is not None:
                found.connection.provisioning -= 1
                self._turn_away(found)
                return True
        return False

    def _turn_away(self, request: _ProvisioningRequest) -> None:
        self._counters.lost(Loss.PROVISIONING_THROTTLED)
        request.connection.answered(self._responder.rejection(request.asked, Throttled()))

    def _start_next(self, line: _RequestsOfKind) -> None:
        while line.free and len(line.waiting):
            request = line.waiting.next()
            if request.connection.is_over:
                # Nobody would get the key.
                request.connection.provisioning -= 1
                continue
            line.free -= 1
            task = asyncio.get_running_loop().create_task(self._answer(request))
            self._tasks.add(task)
            task.add_done_callback(partial(self._ended, line))

    def _ended(self, line: _RequestsOfKind, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        line.free += 1
        if not task.cancelled():
            self._start_next(line)

    async def _answer(self, request: _ProvisioningRequest) -> None:
        try:
            answer = await self._responder.answer(request.requester, request.asked, request.payload)
        except Exception:
            log.exception("a provisioning request failed")
            answer = self._responder.rejection(request.asked, ServiceUnavailable())
        finally:
            request.connection.provisioning -= 1
        request.connection.answered(answer)
