"""Owns the choice of a message's receivers: all subscribed clients, and one member of each shared subscription."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from msgspec.structs import replace

from thingmint.core.topics.names import TopicFilter
from thingmint.mqtt.broker.subscription_tree import SubscriptionTree
from thingmint.mqtt.codec.packets import Subscription

# How many consecutive members may be skipped because they accept nothing at the moment.
_LOOK_AHEAD: Final = 8


class MemberReadiness(IntEnum):
    """Whether a connected client can receive a message of a shared subscription."""

    NOT_ALLOWED = 0
    BUSY = 1
    READY = 2


class Receivers(NamedTuple):
    """The receivers of a message: clients with their own filters, each once, and one member of each shared
    subscription.

    ``own`` may change with the subscriptions: a client that is no longer in it has unsubscribed.
    """

    own: Mapping[str, Subscription]
    names: list[str]
    """The clients in ``own`` at the beginning."""
    shared: list[tuple[str, Subscription, str]]
    """The member, its subscription and the group."""


class _Group:
    """The members of a shared subscription in the order of their turns: connected ones, and absent ones."""

    __slots__ = ("absent", "name", "present")

    def __init__(self, name: str) -> None:
        self.name = name
        self.present: OrderedDict[str, Subscription] = OrderedDict()
        self.absent: OrderedDict[str, Subscription] = OrderedDict()

    @property
    def is_empty(self) -> bool:
        return not self.present and not self.absent

    def add(self, client_id: str, subscription: Subscription, *, is_present: bool) -> None:
        members, others = (self.present, self.absent) if is_present else (self.absent, self.present)
        others.pop(client_id, None)
        members[client_id] = subscription

    def move(self, client_id: str, *, is_present: bool) -> None:
        source, target = (self.absent, self.present) if is_present else (self.present, self.absent)
        subscription = source.pop(client_id, None)
        if subscription is not None:
            target[client_id] = subscription

    def discard(self, client_id: str) -> None:
        self.present.pop(client_id, None)
        self.absent.pop(client_id, None)

    def next_member(self, readiness: Callable[[str, str], MemberReadiness]) -> tuple[str, Subscription] | None:
        """Return the next member and its subscription; move the member to the end of the order."""
        members = self.present
        client_id = self._next_present(readiness)
        if client_id is None:
            if not self.absent:
                return None
            members, client_id = self.absent, next(iter(self.absent))
        members.move_to_end(client_id)
        return client_id, members[client_id]

    def _next_present(self, readiness: Callable[[str, str], MemberReadiness]) -> str | None:
        chosen: str | None = None
        busy = 0
        barred: list[str] = []
        for client_id in self.present:
            found = readiness(client_id, self.name)
            if found is MemberReadiness.READY:
                chosen = client_id
                break
            if found is MemberReadiness.NOT_ALLOWED:
                barred.append(client_id)
                continue
            # If all are busy, the first of them gets the message.
            chosen, busy = chosen or client_id, busy + 1
            if busy == _LOOK_AHEAD:
                break
        # A client without the permission is not considered again before all others have had a turn.
        for each in barred:
            self.present.move_to_end(each)
        return chosen


class TopicRouter:
    """The subscriptions of all clients."""

    __slots__ = ("_groups", "_shared", "_tree")

    def __init__(self) -> None:
        self._tree: SubscriptionTree[str, Subscription] = SubscriptionTree()
        self._shared: SubscriptionTree[str, _Group] = SubscriptionTree()
        self._groups: dict[str, _Group] = {}

    @property
    def is_empty(self) -> bool:
        """Whether there are no subscriptions."""
        return self._tree.is_empty and self._shared.is_empty and not self._groups

    def add(
        self, client_id: str, topic_filter: TopicFilter, subscription: Subscription, *, is_present: bool = True
    ) -> None:
        """Add or replace a client's subscription; the subscription's QoS is the one granted."""
        if topic_filter.group is None:
            self._tree.add(topic_filter.pattern, client_id, subscription)
            return
        group = self._groups.setdefault(topic_filter.text, _Group(topic_filter.group))
        group.add(client_id, subscription, is_present=is_present)
        self._shared.add(topic_filter.pattern, topic_filter.text, group)

    def discard(self, client_id: str, topic_filter: TopicFilter) -> None:
        """Remove a client's subscription."""
        if topic_filter.group is None:
            self._tree.discard(topic_filter.pattern, client_id)
            return
        group = self._groups[topic_filter.text]
        group.discard(client_id)
        if group.is_empty:
            del self._groups[topic_filter.text]
            self._shared.discard(topic_filter.pattern, topic_filter.text)

    def set_present(self, client_id: str, shared_filters: Iterable[str], *, is_present: bool) -> None:
        """Record in the client's shared subscriptions whether it is connected."""
        for text in shared_filters:
            self._groups[text].move(client_id, is_present=is_present)

    def receivers(
        self, topic: str, publisher: str | None, readiness: Callable[[str, str], MemberReadiness]
    ) -> Receivers:
        """Return the receivers: each client once for all its own filters, at their highest QoS, and one member per
        group.

        ``readiness`` returns whether a client can receive the message through the shared subscription of a group.
        """
        own = self._own(topic, publisher)
        names = list(own)
        if publisher is not None and publisher in own and own[publisher].no_local:
            names.remove(publisher)
        shared: list[tuple[str, Subscription, str]] = []
        for _, group in self._shared.match(topic) if self._groups else ():
            member = group.next_member(readiness)
            if member is not None:
                shared.append((*member, group.name))
        return Receivers(own, names, shared)

    def _own(self, topic: str, publisher: str | None) -> Mapping[str, Subscription]:
        matches = self._tree.matching(topic)
        if len(matches) == 1:
            # By far the most frequent case, in which no client occurs twice.
            return matches[0]
        own: dict[str, Subscription] = {}
        for match in matches:
            for client_id, subscription in match.items():
                known = own.get(client_id)
                if subscription.no_local and client_id == publisher:
                    continue
                own[client_id] = subscription if known is None else _together(known, subscription)
        return own


def _together(first: Subscription, second: Subscription) -> Subscription:
    """Return the combination of a client's two subscriptions that both match a message."""
    as_published = first.retain_as_published or second.retain_as_published
    return replace(first, qos=max(first.qos, second.qos), retain_as_published=as_published)
