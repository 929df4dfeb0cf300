"""Owns the steps that read additional data for events. They read nothing unless the events are enabled."""

from collections.abc import Iterable

from thingmint.core.identifiers import Scope, ThingGroupName
from thingmint.core.paging import PageRequest
from thingmint.core.registry.event_configuration import EventType
from thingmint.core.registry.registry_event import EventOperation, RegistryEvent, change_of_group, deletion_of_thing
from thingmint.core.registry.thing import Thing
from thingmint.core.registry.thing_group import MAX_GROUPS_OF_A_THING, ThingGroup
from thingmint.records.registry import thing_group_members as thing_group_member_table
from thingmint.records.registry import thing_groups as thing_group_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.authority import RegistrationAuthority

_ALL_GROUPS = PageRequest(MAX_GROUPS_OF_A_THING, None, ascending=True)
_OF_GROUPS = frozenset({EventType.THING_GROUP, EventType.THING_GROUP_HIERARCHY})


def group_events(
    authority: RegistrationAuthority, operation: EventOperation, group: ThingGroup
) -> Steps[tuple[RegistryEvent, ...]]:
    """Return the events of a creation, update or deletion of the group."""
    if _OF_GROUPS.isdisjoint((yield from wanted_events(authority, group.scope))):
        return ()
    above = yield from _groups(group.scope, group.ancestors)
    return change_of_group(operation, group, above)


def deletion_events(authority: RegistrationAuthority, thing: Thing) -> Steps[tuple[RegistryEvent, ...]]:
    """Return the events of the thing's deletion. Call it while the thing is still in its groups."""
    groups: tuple[ThingGroup, ...] = ()
    if EventType.THING_GROUP_MEMBERSHIP in (yield from wanted_events(authority, thing.scope)):
        memberships = yield from thing_group_member_table.groups_of_thing(thing.scope, thing.name, _ALL_GROUPS)
        groups = yield from _groups(thing.scope, [membership.item[-1] for membership in memberships])
    return deletion_of_thing(thing, groups)


def wanted_events(authority: RegistrationAuthority, scope: Scope) -> Steps[frozenset[EventType]]:
    """Return the enabled types of events of the registry."""
    return (yield from authority.wanted_events.of(scope, authority.clock.now()))


def _groups(scope: Scope, names: Iterable[ThingGroupName]) -> Steps[tuple[ThingGroup, ...]]:
    found: list[ThingGroup] = []
    for name in names:
        group = yield from thing_group_table.thing_group(scope, name)
        found += [] if group is None else [group]
    return tuple(found)
