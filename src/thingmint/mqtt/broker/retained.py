"""Owns the retained messages of an account, one for each topic, within limits. Independent of subscribers."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable

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
        # Sorted, so that a page takes the same time at any position.
        self._topics: list[str] = []

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def is_empty(self) -> bool:
        """Whether there are no messages; an expired message counts until it is looked up."""
        return not self._messages

    def get(self, topic: str, now: float) -> KeptMessage | None:
        """Return the topic's message; None if there is none or it has expired."""
        retained = self._messages.get(topic)
        if retained is None or not retained.has_expired(now):
            return retained
        self.discard(topic)
        return None

    def read(self, topic: str, now: float) -> Retained | None:
        """Return the topic's message with its age, for reading without a subscription."""
        retained = self.get(topic, now)
        if retained is None:
            return None
        message = as_sent(Outgoing(retained, retained.publish.qos, True), 0, False, now)
        stored_at = self._stored_at[topic]
        return Retained(message, now - stored_at, stored_at)

    def read_after(self, topic: str, count: int, now: float) -> list[Retained]:
        """Return up to ``count`` messages whose topics sort after ``topic``, in order; skip expired ones."""
        found: list[Retained] = []
        at = bisect_right(self._topics, topic)
        while len(found) < count and at < len(self._topics):
            # Reading an expired message removes it, and the next one takes its position.
            retained = self.read(self._topics[at], now)
            if retained is not None:
                found.append(retained)
                at += 1
        return found

    def put(self, retained: KeptMessage, now: float) -> bool:
        """Set the message of its topic; if there is no room, keep the old one and return False."""
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
        """Remove the topic's message, if there is one."""
        retained = self._messages.pop(topic, None)
        if retained is not None:
            del self._stored_at[topic], self._topics[bisect_left(self._topics, topic)]
            self._memory.unretain(retained)

    def discard_expired(self, now: float) -> None:
        """Remove the expired messages."""
        for topic in [topic for topic, retained in self._messages.items() if retained.has_expired(now)]:
            self.discard(topic)

    def discard_some(self, is_over: Callable[[], bool]) -> bool:
        """Remove messages, at least one, until ``is_over`` returns True; return whether none is left."""
        while self._topics:
            # The last topic, because the others need not move.
            self.discard(self._topics[-1])
            if is_over():
                break
        return not self._topics

    def _has_room(self, retained: KeptMessage, known: KeptMessage | None) -> bool:
        messages = len(self._messages) + (known is None)
        more = retained.size - (0 if known is None else known.size)
        return messages <= self._limits.retained_messages and (more <= 0 or self._memory.retained.admits(more))
