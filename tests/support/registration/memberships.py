"""Owns things, thing groups and their principals for tests that need them to be there; judges none of them."""

from dataclasses import dataclass

from tests.support.registration.things import group_path, sample_group, sample_thing

from thingmint.core.identifiers import Scope, ThingName
from thingmint.core.registry.thing import ThingPrincipalType
from thingmint.records.registry import thing_group_members as thing_group_member_table
from thingmint.records.registry import thing_groups as thing_group_table
from thingmint.records.registry import thing_principals as thing_principal_table
from thingmint.records.registry import things as thing_table
from thingmint.records.registry.thing_principals import Attachment
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store


@dataclass(frozen=True, slots=True)
class Memberships:
    """What there is: groups by their paths, parents first; things, the paths of their groups, and their principals."""

    groups: tuple[tuple[str, ...], ...] = ()
    things: tuple[str, ...] = ()
    members: tuple[tuple[str, tuple[str, ...]], ...] = ()
    principals: tuple[tuple[str, str], ...] = ()


async def store_memberships(store: Store, scope: Scope, memberships: Memberships) -> None:
    """Store all of it in one transaction."""

    def program() -> Steps[None]:
        for path in memberships.groups:
            yield from thing_group_table.insert_thing_group(sample_group(*path, scope=scope))
        for thing in memberships.things:
            yield from thing_table.insert_thing(sample_thing(thing, scope=scope))
        for thing, path in memberships.members:
            yield from thing_group_member_table.add_thing_to_group(scope, ThingName(thing), group_path(*path))
        for thing, principal in memberships.principals:
            attachment = Attachment(ThingName(thing), principal, ThingPrincipalType.NON_EXCLUSIVE_THING)
            yield from thing_principal_table.attach_principal(scope, attachment)

    await store.write(program)
