"""Owns the effect of an account's deletion on the memory of this node: messages, sessions and records of clients."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Protocol

from thingmint.core.identifiers import Scope, account_arn
from thingmint.core.principals import Watched
from thingmint.mqtt.data_plane import KeptMessages
from thingmint.registration.kernel.change_watch import ChangeWatch


class ClientRecords(Protocol):
    """Records of an account's clients in memory."""

    def accounts(self) -> AbstractSet[Scope]:
        """Return the accounts that have records."""
        ...

    def forget_account(self, scope: Scope) -> None:
        """Remove all records of the account."""
        ...


class DeletedAccounts:
    """Follows the deletion of accounts. A later account with the same number must not get what they have left."""

    def __init__(
        self,
        exists: Callable[[Scope], Awaitable[bool]],
        own: Scope,
        watch: ChangeWatch[Watched],
        kept: KeptMessages | None,
        records: Callable[[], Sequence[ClientRecords]] = tuple,
    ) -> None:
        """``own`` is the service's account, which administers the others; brokers elsewhere leave ``kept`` None."""
        self._exists = exists
        self._own = own
        self._watch = watch
        self._kept = kept
        self._records = records
        # Connections record their end a little later than they are ended.
        self._just_forgotten: Sequence[Scope] = ()
        self._watched: frozenset[Scope] = frozenset()
        # Whether each is known to have changed since it is watched.
        self._changed: dict[Scope, bool] = {}

    async def watch_all(self) -> None:
        """Watch exactly the accounts that have anything in memory; raise ServiceUnavailable."""
        present = frozenset(() if self._kept is None else self._kept.accounts()).union(
            *(each.accounts() for each in self._records())
        )
        for scope in self._watched - present:
            self._watch.forget(scope)
        for scope in present - self._watched:
            await self._watch.read(scope, partial(self._resources, scope))
            # It may have been deleted before it was watched.
            self._changed.setdefault(scope, False)
        self._watched = present

    def note(self, changed: Iterable[Watched]) -> None:
        """Take the keys that the watch has just returned."""
        for each in changed:
            if isinstance(each, Scope):
                self._changed[each] = self._changed.get(each, False) or self._watch.knows_changes

    async def forget(self) -> None:
        """Remove from memory what deleted accounts have; raise ServiceUnavailable.

        Only a deletion changes an account. If changes may have been missed, or it was not watched before, an account is
        deleted if it does not exist.
        """
        for scope in self._just_forgotten:
            self._forget_records(scope)
        forgotten = []
        while self._changed:
            scope, is_deleted = next(iter(self._changed.items()))
            if is_deleted or not await self._exists(scope):
                forgotten.append(scope)
                self._forget_records(scope)
                if self._kept is not None:
                    await self._kept.forget(scope)
            self._changed.pop(scope, None)
        self._just_forgotten = forgotten

    def _forget_records(self, scope: Scope) -> None:
        for each in self._records():
            each.forget_account(scope)

    async def _resources(self, scope: Scope) -> tuple[None, frozenset[str]]:
        return None, frozenset({account_arn(self._own, scope.account)})
