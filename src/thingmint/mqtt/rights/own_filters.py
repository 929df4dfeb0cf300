"""Owns the filters that one connection keeps to itself: those on reserved topics, which no data plane ever sees."""

from thingmint.api.devices.device_api import DEVICE_OPERATIONS
from thingmint.core.topics.names import matches
from thingmint.mqtt.codec.packets import QoS


class OwnFilters:
    """A few filters and the QoS that was granted; gone with the connection."""

    __slots__ = ("_granted",)

    def __init__(self) -> None:
        self._granted: dict[str, QoS] = {}

    def __len__(self) -> int:
        return len(self._granted)

    def __contains__(self, topic_filter: object) -> bool:
        return topic_filter in self._granted

    @property
    def may_hear_events(self) -> bool:
        """Whether one of them may match an event of the service."""
        return any(map(DEVICE_OPERATIONS.events_are_heard_with, self._granted))

    def add(self, pattern: str, qos: QoS) -> QoS:
        """Keep the filter, or replace it, and return the QoS that is granted: at most once is the least."""
        granted = min(qos, QoS.AT_LEAST_ONCE)
        self._granted[pattern] = granted
        return granted

    def remove(self, pattern: str) -> bool:
        """Forget the filter; return whether there was one."""
        return self._granted.pop(pattern, None) is not None

    def qos_for(self, topic: str) -> QoS | None:
        """Return the highest QoS that was granted for the topic, or None if no filter matches it."""
        return max((qos for pattern, qos in self._granted.items() if matches(pattern, topic)), default=None)
