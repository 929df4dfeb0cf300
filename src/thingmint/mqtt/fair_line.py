"""Owns who is next where many wait: accounts take turns, and so do the certificates of an account."""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class FairLine(Generic[T]):
    """What waits, by account and certificate; of one certificate, first come, first served."""

    def __init__(self) -> None:
        # The first account is next, and in it the first certificate.
        self._accounts: OrderedDict[Hashable, OrderedDict[Hashable, deque[T]]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, account: Hashable, certificate: Hashable, item: T) -> None:
        """Let something wait."""
        self._accounts.setdefault(account, OrderedDict()).setdefault(certificate, deque()).append(item)
        self._length += 1

    def next(self) -> T:
        """Remove and return what is next; there must be something."""
        account, certificates = next(iter(self._accounts.items()))
        certificate = next(iter(certificates))
        item = certificates[certificate].popleft()
        # Both go to the end of their lines, unless nothing more of them waits.
        certificates.move_to_end(certificate)
        self._accounts.move_to_end(account)
        self._removed(account, certificate)
        return item

    def make_way(self, account: Hashable, certificate: Hashable) -> T | None:
        """Remove and return what came last of who has most here, for a newcomer; None if the newcomer has most."""
        if not self._length:
            return None
        waiting = {name: sum(map(len, certificates.values())) for name, certificates in self._accounts.items()}
        largest = max(waiting, key=lambda name: (waiting[name], name == account))
        certificates = self._accounts[largest]
        most = max(certificates, key=lambda name: (len(certificates[name]), name == certificate))
        # With its newcomer, the other must not have as many: else both would push out each other.
        if largest == account:
            has_less = len(certificates.get(certificate, ())) + 1 < len(certificates[most])
        else:
            has_less = waiting.get(account, 0) + 1 < waiting[largest]
        if not has_less:
            return None
        item = certificates[most].pop()
        self._removed(largest, most)
        return item

    def clear(self) -> list[T]:
        """Remove and return everything."""
        found = [item for certificates in self._accounts.values() for line in certificates.values() for item in line]
        self._accounts.clear()
        self._length = 0
        return found

    def _removed(self, account: Hashable, certificate: Hashable) -> None:
        self._length -= 1
        certificates = self._accounts[account]
        if not certificates[certificate]:
            del certificates[certificate]
        if not certificates:
            del self._accounts[account]
