"""Owns the list of connections that listen to the service's events, so that an event costs time only for listeners.

Only a few of tens of thousands of devices listen, and each opening or ending of a connection is an event. An event is
sent to many listeners in time slices; accounts take turns.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, Protocol

from thingmint.core.identifiers import Scope
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.pacing.fair_queue import FairQueue
from thingmint.mqtt.rights.own_filters import OwnFilters
from thingmint.registration.kernel.turns import Pace

MAX_WAITING_EVENTS: Final = 2_000
_SENT_BETWEEN_LOOKS: Final = 8


class EventListener(Protocol):
    """A device whose CONNECT was accepted."""

    @property
    def scope(self) -> Scope:
        """The device's account and region."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether its connection has ended."""
        ...

    @property
    def filters(self) -> OwnFilters:
        """The filters on reserved topics of its connection."""
        ...

    def send_event(self, topic: str, payload: bytes) -> None:
        """Write an event if a filter matches and policies allow it."""
        ...


class _Event(NamedTuple):
    scope: Scope
    topic: str
    payload: bytes


class EventListeners:
    """Devices by account, for as long as they are connected and have a filter that an event may match."""

    def __init__(
        self,
        counters: Counters | None = None,
        call_soon: Callable[[Callable[[], None]], object] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Count events that are not sent; ``call_soon`` is the running event loop's unless it is given."""
        self._by_account: dict[Scope, set[EventListener]] = {}
        self._counters = counters or Counters()
        self._call_soon = call_soon
        self._clock = clock
        self._waiting: FairQueue[_Event] = FairQueue()
        # The event that is being sent, and its listeners that did not get it yet.
        self._sending: tuple[_Event, Iterator[EventListener]] | None = None
        self._is_sending = False

    def update(self, device: EventListener) -> None:
        """Add or remove the device, by its current filters and its connection."""
        if device.filters.may_hear_events and not device.is_over:
            self._by_account.setdefault(device.scope, set()).add(device)
        else:
            self.forget(device)

    def forget(self, device: EventListener) -> None:
        """Remove a device, if it is in the list."""
        devices = self._by_account.get(device.scope, set())
        devices.discard(device)
        if not devices:
            self._by_account.pop(device.scope, None)

    def has_any(self, scope: Scope) -> bool:
        """Return whether an account has listeners."""
        return scope in self._by_account

    def publish_event(self, scope: Scope, topic: str, payload: bytes) -> None:
        """Send an account's event to each of its devices that listens to it, after its earlier events.

        If too many events wait, the newest of the account with most of them is dropped and counted.
        """
        if scope not in self._by_account:
            return
        if len(self._waiting) >= MAX_WAITING_EVENTS:
            self._counters.lost(Loss.EVENT_UNSENT)
            if self._waiting.make_way(scope, None) is None:
                return
        self._waiting.add(scope, None, _Event(scope, topic, payload))
        if not self._is_sending:
            self._is_sending = True
            self._send_some()

    def _send_some(self) -> None:
        """Send events for one time slice, and the rest in later turns of the event loop."""
        pace = Pace(self._clock)
        while (sending := self._next()) is not None:
            event, devices = sending
            for count, device in enumerate(devices, 1):
                # A listener may have ended since the event began to be sent.
                if not device.is_over:
                    device.send_event(event.topic, event.payload)
                if not count % _SENT_BETWEEN_LOOKS and pace.is_over:
                    self._rest()
                    return
            self._sending = None
            if len(self._waiting) and pace.is_over:
                self._rest()
                return
        self._is_sending = False

    def _next(self) -> tuple[_Event, Iterator[EventListener]] | None:
        if self._sending is None and len(self._waiting):
            event = self._waiting.next()
            # A copy: devices come and go while the event is sent.
            self._sending = event, iter(tuple(self._by_account.get(event.scope, ())))
        return self._sending

    def _rest(self) -> None:
        call_soon = self._call_soon or asyncio.get_running_loop().call_soon
        call_soon(self._send_some)
