"""Owns which cached decisions of a gateway a change invalidates. Independent of the decisions' content.

One watch belongs to one event loop. A gateway that caches decisions calls `changed_keys` about once a second. Each node
reads the store itself.
"""

from collections.abc import Awaitable, Callable, Hashable, KeysView
from typing import Generic, TypeVar

from thingmint.registration.kernel.changes import changes_from
from thingmint.registration.kernel.ports import Store

KeyT = TypeVar("KeyT", bound=Hashable)
T = TypeVar("T")


class ChangeWatch(Generic[KeyT]):
    """Stores by key (for instance a connection) the resources that its data depends on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._stamp: int | None = None
        self._server: int | None = None
        self._begins_anew = False
        self._turn = 0
        self.knows_changes = False
        """Whether the last `changed_keys` returned only keys of changed resources, not all keys."""
        self._keys: dict[str, set[KeyT]] = {}
        self._resources: dict[KeyT, frozenset[str]] = {}

    async def read(self, key: KeyT, reading: Callable[[], Awaitable[tuple[T, frozenset[str]]]]) -> T:
        """Return the result of ``reading``, and watch its resources until `forget` is called for the key.

        It is read again if changes were found meanwhile, because they can be newer than the result. A key that is
        forgotten during the reading is watched again.
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
        """Return the keys that must be read again: all of them at the first call and when anything may have changed.

        Keys of resources with few keys come first: a certificate comes before the devices of a shared policy. All keys
        stay watched. Raises ServiceUnavailable if the store cannot be read; the next call returns the changes then.
        """
        begins_anew, self._begins_anew = self._begins_anew, False
        try:
            changes = await changes_from(self._store, None if begins_anew else self._stamp, self._server)
        except BaseException:
            self._begins_anew |= begins_anew
            raise
        self._stamp, self._server = changes.stamp, changes.server
        self.knows_changes = changes.resources is not None
        if changes.resources is None:
            self._turn += 1
            return self._resources.copy().keys()
        if changes.resources:
            self._turn += 1
        dependent = sorted((self._keys.get(resource, set()) for resource in changes.resources), key=len)
        return dict.fromkeys(key for keys in dependent for key in keys).keys()

    def begin_anew(self) -> None:
        """Return every key at the next call, because changes may have been missed."""
        # Also during a call of `changed_keys`, which sets the stamp when it ends.
        self._begins_anew = True

    def _remember(self, key: KeyT, resources: frozenset[str]) -> None:
        self._resources[key] = resources
        for resource in resources:
            self._keys.setdefault(resource, set()).add(key)
