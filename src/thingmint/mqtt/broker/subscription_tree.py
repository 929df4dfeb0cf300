"""Owns the tree of topic filters, in which a topic finds its subscribers. Independent of what a subscriber is.

The time to match depends on the levels of the topic, at most eight, and on the number of matches, not on the number of
filters. Filters that start with ``$`` are never added, so that no client can find answers of the service.
"""

from collections.abc import Hashable, Mapping
from typing import Generic, TypeVar

from thingmint.core.topics.names import ANY_LEVEL, ANY_LEVELS, SEPARATOR, is_reserved

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class _Node(Generic[_Key, _Value]):
    # The subscriptions to this level, those to all levels below it, and the next levels; "+" is one of these.
    # Each is None until it is needed, because most nodes have one of them, and devices have nodes of their own.
    __slots__ = ("below", "here", "next")

    def __init__(self) -> None:
        self.here: dict[_Key, _Value] | None = None
        self.below: dict[_Key, _Value] | None = None
        self.next: dict[str, _Node[_Key, _Value]] | None = None

    @property
    def is_empty(self) -> bool:
        return not (self.here or self.below or self.next)

    def at(self, level: str) -> "_Node[_Key, _Value]":
        """Return the node of a next level, which is created if it does not exist."""
        if self.next is None:
            self.next = {}
        node = self.next.get(level)
        if node is None:
            node = self.next[level] = _Node()
        return node


class SubscriptionTree(Generic[_Key, _Value]):
    """One value for each pattern and key; the caller has validated the patterns."""

    __slots__ = ("_root",)

    def __init__(self) -> None:
        self._root: _Node[_Key, _Value] = _Node()

    @property
    def is_empty(self) -> bool:
        """Whether there are no subscriptions."""
        return self._root.is_empty

    def add(self, pattern: str, key: _Key, value: _Value) -> None:
        """Set the key's value for the pattern; raise ValueError if the pattern is reserved."""
        if is_reserved(pattern):
            raise ValueError("reserved topics are in no tree")
        levels = pattern.split(SEPARATOR)
        node = self._root
        for level in levels[:-1]:
            node = node.at(level)
        if levels[-1] == ANY_LEVELS:
            if node.below is None:
                node.below = {}
            node.below[key] = value
            return
        node = node.at(levels[-1])
        if node.here is None:
            node.here = {}
        node.here[key] = value

    def discard(self, pattern: str, key: _Key) -> None:
        """Remove the key's value for the pattern, if there is one, and all levels that become empty."""
        levels = pattern.split(SEPARATOR)
        path = [self._root]
        for level in levels[:-1] if levels[-1] == ANY_LEVELS else levels:
            below = path[-1].next
            node = None if below is None else below.get(level)
            if node is None:
                return
            path.append(node)
        values = path[-1].below if levels[-1] == ANY_LEVELS else path[-1].here
        if values is not None:
            values.pop(key, None)
        for level, parent in zip(reversed(levels[: len(path) - 1]), reversed(path[:-1]), strict=True):
            assert parent.next is not None, "the path leads through it"
            if not parent.next[level].is_empty:
                break
            del parent.next[level]

    def match(self, topic: str) -> list[tuple[_Key, _Value]]:
        """Return key and value of every pattern that matches; a key may occur for several patterns."""
        return [item for found in self.matching(topic) for item in found.items()]

    def matching(self, topic: str) -> list[Mapping[_Key, _Value]]:
        """Return the values by key of each pattern that matches; the mappings change with the tree."""
        found: list[Mapping[_Key, _Value]] = []
        if is_reserved(topic):
            return found
        nodes = [self._root]
        for level in topic.split(SEPARATOR):
            deeper = []
            for node in nodes:
                if node.below:
                    found.append(node.below)
                following = node.next
                if not following:
                    continue
                exact, any_level = following.get(level), following.get(ANY_LEVEL)
                if exact is not None:
                    deeper.append(exact)
                if any_level is not None:
                    deeper.append(any_level)
            nodes = deeper
        found.extend(node.here for node in nodes if node.here)
        return found
