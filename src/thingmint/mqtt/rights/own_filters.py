"""Owns the filters on reserved topics of one connection, which the data plane does not get."""

from thingmint.api.devices.device_api import DEVICE_OPERATIONS
from thingmint.core.topics.names import matches
from thingmint.mqtt.codec.packets import QoS


class OwnFilters:
    """A few filters with their granted QoS, which end with the connection."""

    __slots__ = ("_granted",)

    def __init__(self) -> None:
        self._granted: dict[str, QoS] = {}

    def __len__(self) -> int:
        return len(self._granted)

    def __contains__(self, topic_filter: object) -> bool:
        return topic_filter in self._granted

    @property
    def may_hear_events(self) -> bool:
        """Whether a filter may match an event of the service."""
        return any(map(DEVICE_OPERATIONS.events_are_heard_with, self._granted))

    def add(self, pattern: str, qos: QoS) -> QoS:
        """Add or replace a filter, and return the granted QoS."""
        granted = min(qos, QoS.AT_LEAST_ONCE)
        self._granted[pattern] = granted
        return granted

    def remove(self, pattern: str) -> bool:
        """Remove the filter; return whether it existed."""
        return self._granted.pop(pattern, None) is not None

    def qos_for(self, topic: str) -> QoS | None:
        """Return the highest granted QoS of the filters that match the topic, or None if none matches."""
        return max((qos for pattern, qos in self._granted.items() if matches(pattern, topic)), default=None)
