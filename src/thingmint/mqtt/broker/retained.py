"""Owns the retained messages of an account, one a topic, within bounds; refuses to know who wants them."""

from bisect import bisect_left, bisect_right, insort

from thingmint.mqtt.data_plane import Retained
from thingmint.mqtt.queues.kept_message import AccountMemory, KeptMessage
from thingmint.mqtt.queues.limits import BrokerLimits
from thingmint.mqtt.queues.outgoing import Outgoing, as_sent


class RetainedMessages:
    """The latest message of each topic that was published with RETAIN and a payload."""

    __slots__ = ("_limits", "_memory", "_messages", "_stored_at", "_topics")

    def __init__(self, limits: BrokerLimits, memory: AccountMemory) -> None:
        self._limits = limits
        self._memory = memory
        self._messages: dict[str, KeptMessage] = {}
        self._stored_at: dict[str, float] = {}
        # In order, so that a page costs the same wherever it starts.
        self._topics: list[str] = []

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is retained; what has expired counts until somebody looks for it."""
        return not self._messages

    def get(self, topic: str, now: float) -> KeptMessage | None:
        """Return the topic's message, unless it has none or it has expired."""
        retained = self._messages.get(topic)
        if retained is None or not retained.has_expired(now):
            return retained
        self.discard(topic)
        return None

    def read(self, topic: str, now: float) -> Retained | None:
        """Return the topic's message as somebody reads it who has not subscribed."""
        retained = self.get(topic, now)
        if retained is None:
            return None
        message = as_sent(Outgoing(retained, retained.publish.qos, True), 0, False, now)
        stored_at = self._stored_at[topic]
        return Retained(message, now - stored_at, stored_at)

    def read_after(self, topic: str, count: int, now: float) -> list[Retained]:
        """Return so many messages, by topic, after this topic; those that have expired do not count."""
        found: list[Retained] = []
        at = bisect_right(self._topics, topic)
        while len(found) < count and at < len(self._topics):
            # What has expired is gone by being read, and the next takes its place.
            retained = self.read(self._topics[at], now)
            if retained is not None:
                found.append(retained)
                at += 1
        return found

    def put(self, retained: KeptMessage, now: float) -> bool:
        """Set the message of its topic; return False, leaving the old one, if there is no room."""
        topic = retained.publish.topic
        known = self._messages.get(topic)
        if not self._has_room(retained, known):
            self.discard_expired(now)
            known = self._messages.get(topic)
            if not self._has_room(retained, known):
                return False
        self.discard(topic)
        self._messages[topic], self._stored_at[topic] = retained, now
        insort(self._topics, topic)
        self._memory.retain(retained)
        return True

    def discard(self, topic: str) -> None:
        """Forget the topic's message, if it has one."""
        retained = self._messages.pop(topic, None)
        if retained is not None:
            del self._stored_at[topic], self._topics[bisect_left(self._topics, topic)]
            self._memory.unretain(retained)

    def discard_expired(self, now: float) -> None:
        """Forget what has expired."""
        for topic in [topic for topic, retained in self._messages.items() if retained.has_expired(now)]:
            self.discard(topic)

    def _has_room(self, retained: KeptMessage, known: KeptMessage | None) -> bool:
        messages = len(self._messages) + (known is None)
        more = retained.size - (0 if known is None else known.size)
        return messages <= self._limits.retained_messages and (more <= 0 or self._memory.retained.admits(more))
