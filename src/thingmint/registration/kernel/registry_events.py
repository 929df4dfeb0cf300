"""Owns the steps that read what an event tells besides what its change knows; reads nothing if nobody wants it."""

from collections.abc import Iterable

from thingmint.core.identifiers import Scope, ThingGroupName
from thingmint.core.registry.event_configuration import EventType
from thingmint.core.registry.registry_event import EventOperation, RegistryEvent, change_of_group, deletion_of_thing
from thingmint.core.registry.thing import Thing
from thingmint.core.registry.thing_group import MAX_GROUPS_OF_A_THING, ThingGroup
from thingmint.records.paging import PageRequest
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import Transaction

_ALL_GROUPS = PageRequest(MAX_GROUPS_OF_A_THING, None, ascending=True)
_OF_GROUPS = frozenset({EventType.THING_GROUP, EventType.THING_GROUP_HIERARCHY})


def group_events(
    authority: RegistrationAuthority, transaction: Transaction, operation: EventOperation, group: ThingGroup
) -> Steps[tuple[RegistryEvent, ...]]:
    """Return what happens when the group is created, updated or deleted."""
    if _OF_GROUPS.isdisjoint((yield from wanted_events(authority, transaction, group.scope))):
        return ()
    above = yield from _groups(transaction, group.scope, group.ancestors)
    return change_of_group(operation, group, above)


def deletion_events(
    authority: RegistrationAuthority, transaction: Transaction, thing: Thing
) -> Steps[tuple[RegistryEvent, ...]]:
    """Return what happens when the thing is deleted; to be asked while it is still in its groups."""
    groups: tuple[ThingGroup, ...] = ()
    if EventType.THING_GROUP_MEMBERSHIP in (yield from wanted_events(authority, transaction, thing.scope)):
        memberships = yield from transaction.groups_of_thing(thing.scope, thing.name, _ALL_GROUPS)
        groups = yield from _groups(transaction, thing.scope, [membership.item[-1] for membership in memberships])
    return deletion_of_thing(thing, groups)


def wanted_events(
    authority: RegistrationAuthority, transaction: Transaction, scope: Scope
) -> Steps[frozenset[EventType]]:
    """Return the types of events that are on in the registry."""
    return (yield from authority.wanted_events.of(transaction, scope, authority.clock.now()))


def _groups(transaction: Transaction, scope: Scope, names: Iterable[ThingGroupName]) -> Steps[tuple[ThingGroup, ...]]:
    found: list[ThingGroup] = []
    for name in names:
        group = yield from transaction.thing_group(scope, name)
        found += [] if group is None else [group]
    return tuple(found)
