"""Owns the choice of a message's receivers: all subscribed clients, and one member of each shared subscription."""

from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from msgspec.structs import replace

from thingmint.core.topics.names import TopicFilter
from thingmint.mqtt.broker.subscription_tree import SubscriptionTree
from thingmint.mqtt.codec.packets import Subscription

# How many members may be skipped because they accept nothing at the moment, and how many that may not receive a message
# are considered without a pause.
_LOOK_AHEAD: Final = 8
# How many subscriptions of clients that may have several matching ones are examined without a pause.
_SUBSCRIPTIONS_BETWEEN_PAUSES: Final = 64


class MemberReadiness(IntEnum):
    """Whether a connected client can receive a message of a shared subscription."""

    NOT_ALLOWED = 0
    BUSY = 1
    READY = 2


Readiness: TypeAlias = Callable[[str, str], MemberReadiness]
"""Returns whether a client can receive the message through the shared subscription of a group."""


class SharedGroup:
    """The members of a shared subscription in the order of their turns: connected ones, and absent ones."""

    __slots__ = ("_absent", "_at_least_once", "_present", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._present: OrderedDict[str, Subscription] = OrderedDict()
        self._absent: OrderedDict[str, Subscription] = OrderedDict()
        self._at_least_once = 0

    @property
    def is_empty(self) -> bool:
        """Whether there are no members."""
        return not self._present and not self._absent

    @property
    def may_store(self) -> bool:
        """Whether a message of QoS 1 may have to be stored for the member that gets it."""
        return self._at_least_once > 0

    @property
    def first(self) -> str:
        """The client whose turn it is; the group must not be empty."""
        return next(iter(self._present or self._absent))

    def add(self, client_id: str, subscription: Subscription, *, is_present: bool) -> None:
        """Add a member, or replace its subscription."""
        members, others = (self._present, self._absent) if is_present else (self._absent, self._present)
        earlier = others.pop(client_id, None) or members.get(client_id)
        self._at_least_once += (subscription.qos > 0) - (earlier is not None and earlier.qos > 0)
        members[client_id] = subscription

    def move(self, client_id: str, *, is_present: bool) -> None:
        """Record whether a member is connected."""
        source, target = (self._absent, self._present) if is_present else (self._present, self._absent)
        subscription = source.pop(client_id, None)
        if subscription is not None:
            target[client_id] = subscription

    def discard(self, client_id: str) -> None:
        """Remove a member."""
        earlier = self._present.pop(client_id, None) or self._absent.pop(client_id, None)
        self._at_least_once -= earlier is not None and earlier.qos > 0

    def choose(self, readiness: Readiness) -> Iterator[tuple[str, Subscription] | None]:
        """Return the next member and its subscription, and move it to the end of the order; nothing if there is none.

        Before that, return None after some members that may not receive the message: there can be thousands of them,
        and each takes a decision by its policies. Members may come and go meanwhile.
        """
        chosen: str | None = None
        busy, barred = 0, 0
        for client_id in self._each_present():
            if client_id not in self._present:
                continue
            found = readiness(client_id, self.name)
            if found is MemberReadiness.NOT_ALLOWED:
                # It is not considered again before all others have had a turn.
                self._present.move_to_end(client_id)
                barred += 1
                if not barred % _LOOK_AHEAD:
                    yield None
                continue
            # If all are busy, the first of them gets the message.
            chosen, busy = client_id if found is MemberReadiness.READY else chosen or client_id, busy + 1
            if found is MemberReadiness.READY or busy == _LOOK_AHEAD:
                break
        members = self._absent if chosen is None or chosen not in self._present else self._present
        if members:
            taker = next(iter(members)) if chosen is None or members is self._absent else chosen
            members.move_to_end(taker)
            yield taker, members[taker]

    def _each_present(self) -> Iterator[str]:
        # Copies, because the order changes; mostly the first member is ready.
        first = tuple(islice(self._present, _LOOK_AHEAD))
        yield from first
        if len(first) == _LOOK_AHEAD:
            known = frozenset(first)
            yield from [client_id for client_id in self._present if client_id not in known]


class Receivers(NamedTuple):
    """The receivers of a message: clients with their own filters, each once, and one member of each shared
    subscription, who is chosen when it is its turn.

    ``own`` may change with the subscriptions: a client that is no longer in it has unsubscribed. If it is merged from
    the matches of several filters, ``is_subscribed`` tells.
    """

    own: Mapping[str, Subscription]
    names: list[str]
    """The clients in ``own`` at the beginning."""
    shared: list[SharedGroup]
    readiness: Readiness
    merged: Sequence[Mapping[str, Subscription]] = ()
    """If ``own`` is merged from several mappings, these, which change with the subscriptions."""

    def is_subscribed(self, client_id: str) -> bool:
        """Return whether a client in ``own`` still has one of the subscriptions."""
        return not self.merged or any(client_id in match for match in self.merged)


class TopicRouter:
    """The subscriptions of all clients."""

    __slots__ = ("_groups", "_shared", "_tree")

    def __init__(self) -> None:
        self._tree: SubscriptionTree[str, Subscription] = SubscriptionTree()
        self._shared: SubscriptionTree[str, SharedGroup] = SubscriptionTree()
        self._groups: dict[str, SharedGroup] = {}

    def add(
        self, client_id: str, topic_filter: TopicFilter, subscription: Subscription, *, is_present: bool = True
    ) -> None:
        """Add or replace a client's subscription; the subscription's QoS is the one granted."""
        if topic_filter.group is None:
            self._tree.add(topic_filter.pattern, client_id, subscription)
            return
        group = self._groups.setdefault(topic_filter.text, SharedGroup(topic_filter.group))
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

    def find_receivers(
        self, topic: str, publisher: str | None, readiness: Readiness
    ) -> Generator[None, None, Receivers]:
        """Return the receivers: each client once for all its own filters, at their highest QoS, and the groups.

        Yield after some subscriptions, because thousands of clients can each have 50 filters that match. Clients may
        come and go meanwhile.
        """
        matches = self._tree.matching(topic)
        shared = [group for _, group in self._shared.match(topic)] if self._groups else []
        if len(matches) == 1:
            # By far the most frequent case, in which no client occurs twice.
            own, merged = matches[0], []
        else:
            own, merged = (yield from _merge(matches, publisher)), matches
        names = list(own)
        if publisher is not None and publisher in own and own[publisher].no_local:
            names.remove(publisher)
        return Receivers(own, names, shared, readiness, merged)


def _merge(
    matches: Iterable[Mapping[str, Subscription]], publisher: str | None
) -> Generator[None, None, Mapping[str, Subscription]]:
    own: dict[str, Subscription] = {}
    for match in matches:
        for count, client_id in enumerate(tuple(match), 1):
            if not count % _SUBSCRIPTIONS_BETWEEN_PAUSES:
                yield
            subscription = match.get(client_id)
            if subscription is None or (subscription.no_local and client_id == publisher):
                continue
            known = own.get(client_id)
            if known is None:
                own[client_id] = subscription
            elif subscription.qos > known.qos or subscription.retain_as_published > known.retain_as_published:
                # Most filters of a client add nothing, and it can have 50 of them.
                own[client_id] = _together(known, subscription)
    return own


def _together(first: Subscription, second: Subscription) -> Subscription:
    """Return the combination of a client's two subscriptions that both match a message."""
    as_published = first.retain_as_published or second.retain_as_published
    return replace(first, qos=max(first.qos, second.qos), retain_as_published=as_published)
