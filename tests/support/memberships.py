"""Owns rows of things, thing groups and their principals, for tests that need them to be there; judges none of them."""

from collections.abc import Iterator
from dataclasses import dataclass

from thingmint.core.identifiers import Scope
from thingmint.registration.ports import Store
from thingmint.registration.steps import Steps
from thingmint.storage.statement import rows_of

_THING = (
    "INSERT INTO thing (account, region, name, thing_id, attributes, version, created_at) "
    "VALUES ($1, $2, $3, 'id', '{}', 1, 0)"
)
_GROUP = (
    "INSERT INTO thing_group (account, region, name, group_id, parent_name, attributes, version, created_at) "
    "VALUES ($1, $2, $3, 'id', $4, '{}', 1, 0)"
)
_MEMBER = "INSERT INTO thing_group_member (account, region, group_name, thing_name) VALUES ($1, $2, $3, $4)"
_PRINCIPAL = (
    "INSERT INTO thing_principal (account, region, thing_name, principal, principal_type) "
    "VALUES ($1, $2, $3, $4, 'NON_EXCLUSIVE_THING')"
)


@dataclass(frozen=True, slots=True)
class Memberships:
    """What there is: groups and their parents, parents first; things, their groups and their principals."""

    groups: tuple[tuple[str, str | None], ...] = ()
    things: tuple[str, ...] = ()
    members: tuple[tuple[str, str], ...] = ()
    principals: tuple[tuple[str, str], ...] = ()

    def statements(self) -> Iterator[tuple[str, tuple[str | None, ...]]]:
        """Yield what stores all of it."""
        yield from ((_GROUP, group) for group in self.groups)
        yield from ((_THING, (thing,)) for thing in self.things)
        yield from ((_MEMBER, (group, thing)) for thing, group in self.members)
        yield from ((_PRINCIPAL, (thing, principal)) for thing, principal in self.principals)


async def store_memberships(store: Store, scope: Scope, memberships: Memberships) -> None:
    """Store the rows in one transaction."""

    def program(_: object) -> Steps[None]:
        for sql, parameters in memberships.statements():
            yield from rows_of(sql, scope.account, scope.region, *parameters)

    await store.write(program)
