"""Owns who receives a message: everyone who is subscribed, and one member of each shared subscription."""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from thingmint.mqtt.packets import QoS, Subscription
from thingmint.mqtt.subscription_tree import SubscriptionTree
from thingmint.mqtt.topics import TopicFilter


class Readiness(IntEnum):
    """Whether a client can be given a message of a shared subscription; the readiest member gets it."""

    NOT_ALLOWED = 0
    AWAY = 1
    CONNECTED = 2


class Receiver(NamedTuple):
    """A client that gets a message, at which QoS at most, and whether RETAIN stays as it was published.

    ``group`` is that of the shared subscription through which the message comes.
    """

    client_id: str
    qos: QoS
    retain_as_published: bool
    group: str | None = None


class _Group:
    __slots__ = ("members", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, Subscription] = {}

    def next_member(self, readiness: Callable[[str, str], Readiness]) -> str | None:
        # Of the readiest the first; it goes to the end of the line.
        client_id = max(self.members, key=lambda member: readiness(member, self.name))
        if readiness(client_id, self.name) is Readiness.NOT_ALLOWED:
            return None
        self.members[client_id] = self.members.pop(client_id)
        return client_id


class Router:
    """The subscriptions of all clients."""

    __slots__ = ("_groups", "_shared", "_tree")

    def __init__(self) -> None:
        self._tree: SubscriptionTree[str, Subscription] = SubscriptionTree()
        self._shared: SubscriptionTree[str, _Group] = SubscriptionTree()
        self._groups: dict[str, _Group] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nobody is subscribed to anything."""
        return self._tree.is_empty and self._shared.is_empty and not self._groups

    def add(self, client_id: str, topic_filter: TopicFilter, subscription: Subscription) -> None:
        """Add or replace a client's subscription; the subscription's QoS is the one granted."""
        if topic_filter.group is None:
            self._tree.add(topic_filter.pattern, client_id, subscription)
            return
        group = self._groups.setdefault(topic_filter.text, _Group(topic_filter.group))
        group.members[client_id] = subscription
        self._shared.add(topic_filter.pattern, topic_filter.text, group)

    def discard(self, client_id: str, topic_filter: TopicFilter) -> None:
        """Remove a client's subscription."""
        if topic_filter.group is None:
            self._tree.discard(topic_filter.pattern, client_id)
            return
        group = self._groups[topic_filter.text]
        del group.members[client_id]
        if not group.members:
            del self._groups[topic_filter.text]
            self._shared.discard(topic_filter.pattern, topic_filter.text)

    def receivers(
        self, topic: str, publisher: str | None, readiness: Callable[[str, str], Readiness]
    ) -> list[Receiver]:
        """Return who gets a message: once for all of a client's own filters, at their highest QoS, and once a group.

        ``readiness`` is that of a client for the message if it comes through the shared subscription of a group.
        """
        own: dict[str, Receiver] = {}
        for client_id, subscription in self._tree.match(topic):
            if subscription.no_local and client_id == publisher:
                continue
            receiver = Receiver(client_id, subscription.qos, subscription.retain_as_published)
            known = own.get(client_id)
            if known is not None:
                as_published = known.retain_as_published or receiver.retain_as_published
                receiver = Receiver(client_id, max(known.qos, receiver.qos), as_published)
            own[client_id] = receiver
        found = list(own.values())
        for _, group in self._shared.match(topic):
            member = group.next_member(readiness)
            if member is not None:
                subscription = group.members[member]
                found.append(Receiver(member, subscription.qos, subscription.retain_as_published, group.name))
        return found
