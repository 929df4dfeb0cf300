"""Owns who is next where many wait: accounts take turns, and so do the certificates or clients of an account."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairLine(Generic[T]):
    """What waits, by account and member; of one member, first come, first served."""

    def __init__(self) -> None:
        # The first account is next, and in it the first member.
        self._accounts: OrderedDict[Hashable, OrderedDict[Hashable, deque[T]]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, account: Hashable, member: Hashable, item: T) -> None:
        """Let something wait."""
        self._accounts.setdefault(account, OrderedDict()).setdefault(member, deque()).append(item)
        self._length += 1

    def next(self) -> T:
        """Remove and return what is next; there must be something."""
        account, members = next(iter(self._accounts.items()))
        member = next(iter(members))
        item = members[member].popleft()
        # Both go to the end of their lines, unless nothing more of them waits.
        members.move_to_end(member)
        self._accounts.move_to_end(account)
        self._removed(account, member)
        return item

    def make_way(self, account: Hashable, member: Hashable) -> T | None:
        """Remove and return what came last of who has most here, for a newcomer; None if the newcomer has most."""
        if not self._length:
            return None
        waiting = {name: sum(map(len, members.values())) for name, members in self._accounts.items()}
        largest = max(waiting, key=lambda name: (waiting[name], name == account))
        members = self._accounts[largest]
        most = max(members, key=lambda name: (len(members[name]), name == member))
        # With its newcomer, the other must not have as many: else both would push out each other.
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
        """Remove and return everything."""
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
