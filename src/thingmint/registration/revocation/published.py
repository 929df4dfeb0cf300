"""Owns the lists that this node publishes: the newest stored lists of all nodes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from thingmint.core.certificates.revocation_list import ListName, ListState
from thingmint.records.certificates import revocation_lists as list_table
from thingmint.registration.kernel.ports import Store
from thingmint.registration.revocation.parts import hexadecimal_digest


@dataclass(frozen=True, slots=True, eq=False)
class PublishedList:
    """A public list. The digest is that of its DER."""

    state: ListState
    der: bytes = field(repr=False)
    digest: str


@dataclass(slots=True)
class PublishedLists:
    """The lists by their names. If the database fails, the lists that were read before stay."""

    given_out: Callable[[ListState, int], None]
    """Receives each newly published list and its size in octets."""
    _lists: dict[ListName, PublishedList] = field(default_factory=dict)

    def get(self, name: ListName) -> PublishedList | None:
        """Return a list, or None if there is none."""
        return self._lists.get(name)

    def states(self) -> tuple[ListState, ...]:
        """Return the state of every list."""
        return tuple(each.state for each in self._lists.values())

    def shards(self, issuer_id: str) -> int:
        """Return the number of lists among which the issuer's new certificates are split."""
        return max((name.shards for name in self._lists if name.issuer_id == issuer_id), default=1)

    async def keep(self, state: ListState, der: bytes) -> None:
        """Publish a stored list."""
        digest = await hexadecimal_digest([der])
        self._lists[state.name] = PublishedList(state, der, digest)
        self.given_out(state, len(der))

    async def read(self, store: Store) -> None:
        """Read the lists that other nodes have written; raise ServiceUnavailable."""
        for state in await store.read(list_table.list_states):
            present = self._lists.get(state.name)
            if present is None or present.state.number != state.number:
                await self._fetch(store, state)

    def complete(self, issuer_ids: Iterable[str]) -> tuple[PublishedList, ...]:
        """Return the complete lists of these issuers, without issuers that have none."""
        found = (self._lists.get(ListName(issuer_id)) for issuer_id in issuer_ids)
        return tuple(each for each in found if each is not None)

    async def _fetch(self, store: Store, state: ListState) -> None:
        der = await store.read(lambda: list_table.list_der(state.name, state.number))
        # Another list has replaced it. The next call finds that one.
        if der is not None:
            await self.keep(state, der)
