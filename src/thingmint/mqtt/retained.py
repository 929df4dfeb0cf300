"""Owns the retained messages, one a topic, within bounds; refuses to know who wants them."""

from thingmint.mqtt.limits import BrokerLimits
from thingmint.mqtt.outbox import Outgoing


class RetainedMessages:
    """The latest message of each topic that was published with RETAIN and a payload."""

    __slots__ = ("_bytes", "_limits", "_messages")

    def __init__(self, limits: BrokerLimits) -> None:
        self._limits = limits
        self._messages: dict[str, Outgoing] = {}
        self._bytes = 0

    def get(self, topic: str, now: float) -> Outgoing | None:
        """Return the topic's message, unless it has none or it has expired."""
        retained = self._messages.get(topic)
        if retained is None or not retained.has_expired(now):
            return retained
        self.discard(topic)
        return None

    def put(self, retained: Outgoing, now: float) -> bool:
        """Set the message of its topic; return False, leaving the old one, if there is no room."""
        known = self._messages.get(retained.message.topic)
        if not self._has_room(retained, known):
            self._discard_expired(now)
            known = self._messages.get(retained.message.topic)
            if not self._has_room(retained, known):
                return False
        self.discard(retained.message.topic)
        self._messages[retained.message.topic] = retained
        self._bytes += retained.size
        return True

    def discard(self, topic: str) -> None:
        """Forget the topic's message, if it has one."""
        retained = self._messages.pop(topic, None)
        if retained is not None:
            self._bytes -= retained.size

    def _has_room(self, retained: Outgoing, known: Outgoing | None) -> bool:
        messages = len(self._messages) + (known is None)
        occupied = self._bytes + retained.size - (0 if known is None else known.size)
        return messages <= self._limits.retained_messages and occupied <= self._limits.retained_bytes

    def _discard_expired(self, now: float) -> None:
        for topic in [topic for topic, retained in self._messages.items() if retained.has_expired(now)]:
            self.discard(topic)
