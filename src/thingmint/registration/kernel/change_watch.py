"""Owns which of a gateway's decisions a change makes untrue; knows neither what was decided nor for whom.

One watch belongs to one event loop. Whoever keeps decisions asks `changed_keys` about once a second, on as many nodes
as there are: each asks the store for itself.
"""

from collections.abc import Awaitable, Callable, Hashable, KeysView
from typing import Generic, TypeVar

from thingmint.registration.kernel.changes import changes_from
from thingmint.registration.kernel.ports import Store

KeyT = TypeVar("KeyT", bound=Hashable)
T = TypeVar("T")


class ChangeWatch(Generic[KeyT]):
    """Remembers by key, a connection for instance, on which resources what was read for it depends."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stamp: int | None = None
        self._turn = 0
        self._keys: dict[str, set[KeyT]] = {}
        self._resources: dict[KeyT, frozenset[str]] = {}

    async def read(self, key: KeyT, reading: Callable[[], Awaitable[tuple[T, frozenset[str]]]]) -> T:
        """Return what is read, and watch the resources that came with it until the key is forgotten.

        It is read again if changes came to light meanwhile: they may be newer than what was read. A key that is
        forgotten while it is being read is remembered again.
        """
        while True:
            turn = self._turn
            value, resources = await reading()
            if turn == self._turn:
                self.forget(key)
                self._remember(key, resources)
                return value

    def forget(self, key: KeyT) -> None:
        """Stop watching for the key."""
        for resource in self._resources.pop(key, ()):
            keys = self._keys[resource]
            keys.discard(key)
            if not keys:
                del self._keys[resource]

    async def changed_keys(self) -> KeysView[KeyT]:
        """Return the keys for which to read again; all of them the first time, and when anything may have changed.

        First come those that depend on what few depend on: a certificate comes before the devices of a shared policy.
        They stay watched. Raises ServiceUnavailable if the store cannot be asked, and misses nothing for it.
        """
        changes = await changes_from(self._store, self._stamp)
        self._stamp = changes.stamp
        if changes.resources is None:
            self._turn += 1
            return self._resources.copy().keys()
        if changes.resources:
            self._turn += 1
        dependent = sorted((self._keys.get(resource, set()) for resource in changes.resources), key=len)
        return dict.fromkeys(key for keys in dependent for key in keys).keys()

    def begin_anew(self) -> None:
        """Tell of every key the next time: changes may have been missed."""
        self._stamp = None

    def _remember(self, key: KeyT, resources: frozenset[str]) -> None:
        self._resources[key] = resources
        for resource in resources:
            self._keys.setdefault(resource, set()).add(key)
