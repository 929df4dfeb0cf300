"""Owns a fair queue: accounts take turns, and so do the certificates or clients of an account."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Waiting items by account and member; items of one member are in order of arrival."""

    def __init__(self) -> None:
        # The first account has the next turn, and in it the first member.
        self._accounts: OrderedDict[Hashable, OrderedDict[Hashable, deque[T]]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, account: Hashable, member: Hashable, item: T) -> None:
        """Add an item."""
        self._accounts.setdefault(account, OrderedDict()).setdefault(member, deque()).append(item)
        self._length += 1

    def next(self) -> T:
        """Remove and return the next item; the queue must not be empty."""
        account, members = next(iter(self._accounts.items()))
        member = next(iter(members))
        item = members[member].popleft()
        # Account and member both go to the end of their queues, unless they have no more items.
        members.move_to_end(member)
        self._accounts.move_to_end(account)
        self._removed(account, member)
        return item

    def make_way(self, account: Hashable, member: Hashable) -> T | None:
        """Remove and return the newest item of the account and member with most items, in favour of a new item.

        Return None if the new item's account and member have most.
        """
        if not self._length:
            return None
        waiting = {name: sum(map(len, members.values())) for name, members in self._accounts.items()}
        largest = max(waiting, key=lambda name: (waiting[name], name == account))
        members = self._accounts[largest]
        most = max(members, key=lambda name: (len(members[name]), name == member))
        # With the new item, its owner must still have fewer items. Otherwise two of the same size would evict each
        # other.
        if largest == account:
            has_less = len(members.get(member, ())) + 1 < len(members[most])
        else:
            has_less = waiting.get(account, 0) + 1 < waiting[largest]
        if not has_less:
            return None
        item = members[most].pop()
        self._removed(largest, most)
        return item

    def clear(self) -> list[T]:
        """Remove and return all items."""
        found = [item for members in self._accounts.values() for line in members.values() for item in line]
        self._accounts.clear()
        self._length = 0
        return found

    def _removed(self, account: Hashable, member: Hashable) -> None:
        self._length -= 1
        members = self._accounts[account]
        if not members[member]:
            del members[member]
        if not members:
            del self._accounts[account]
