"""Owns the list of connections that listen to the service's events, so that an event costs time only for listeners.

Only a few of tens of thousands of devices listen, and each opening or ending of a connection is an event.
"""

from typing import Protocol

from thingmint.core.identifiers import Scope
from thingmint.mqtt.rights.own_filters import OwnFilters


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


class EventListeners:
    """Devices by account, for as long as they are connected and have a filter that an event may match."""

    def __init__(self) -> None:
        self._by_account: dict[Scope, set[EventListener]] = {}

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
        """Send an account's event to each of its devices that listens to it."""
        # A copy: a listener may end while it is notified.
        for device in tuple(self._by_account.get(scope, ())):
            device.send_event(topic, payload)
