"""Owns the events of a registry in AWS IoT's terms. Does not publish them.

A creation or deletion has more than one event if it also changes relations: the type of a thing, its groups, or the
parent of a group.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, TypeAlias

from thingmint.core.identifiers import Scope, ThingTypeName
from thingmint.core.registry.event_configuration import EventType
from thingmint.core.registry.thing import Thing
from thingmint.core.registry.thing_group import ThingGroup
from thingmint.core.registry.thing_type import ThingType


class EventOperation(StrEnum):
    """What happened to a resource or to a relation between two resources."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"
    ADDED = "ADDED"
    REMOVED = "REMOVED"


# The event of the relation between a group and its parent.
_OF_PLACE = {EventOperation.CREATED: EventOperation.ADDED, EventOperation.DELETED: EventOperation.REMOVED}


@dataclass(frozen=True, slots=True)
class ThingEvent:
    """A thing was created, updated or deleted. ``thing`` is its new state, or its last state before a deletion."""

    event_type: ClassVar[EventType] = EventType.THING
    operation: EventOperation
    thing: Thing

    @property
    def scope(self) -> Scope:
        """The account and region of the registry."""
        return self.thing.scope


@dataclass(frozen=True, slots=True)
class ThingTypeEvent:
    """A thing type was created, changed or deleted; deprecation is a change."""

    event_type: ClassVar[EventType] = EventType.THING_TYPE
    operation: EventOperation
    thing_type: ThingType

    @property
    def scope(self) -> Scope:
        """The account and region of the registry."""
        return self.thing_type.scope


@dataclass(frozen=True, slots=True)
class TypeAssociationEvent:
    """A thing got a type, or lost it."""

    event_type: ClassVar[EventType] = EventType.THING_TYPE_ASSOCIATION
    operation: EventOperation
    thing: Thing
    type_name: ThingTypeName

    @property
    def scope(self) -> Scope:
        """The account and region of the registry."""
        return self.thing.scope


@dataclass(frozen=True, slots=True)
class ThingGroupEvent:
    """A thing group was created, updated or deleted. ``above`` are the groups from the root to its parent."""

    event_type: ClassVar[EventType] = EventType.THING_GROUP
    operation: EventOperation
    group: ThingGroup
    above: tuple[ThingGroup, ...]

    @property
    def scope(self) -> Scope:
        """The account and region of the registry."""
        return self.group.scope


@dataclass(frozen=True, slots=True)
class GroupMembershipEvent:
    """A thing was added to a group, or removed from it."""

    event_type: ClassVar[EventType] = EventType.THING_GROUP_MEMBERSHIP
    operation: EventOperation
    group: ThingGroup
    thing: Thing

    @property
    def scope(self) -> Scope:
        """The account and region of the registry."""
        return self.group.scope


@dataclass(frozen=True, slots=True)
class GroupHierarchyEvent:
    """A thing group was added below another one, or removed from there."""

    event_type: ClassVar[EventType] = EventType.THING_GROUP_HIERARCHY
    operation: EventOperation
    parent: ThingGroup
    child: ThingGroup

    @property
    def scope(self) -> Scope:
        """The account and region of the registry."""
        return self.child.scope


RegistryEvent: TypeAlias = (
    ThingEvent | ThingTypeEvent | TypeAssociationEvent | ThingGroupEvent | GroupMembershipEvent | GroupHierarchyEvent
)


def creation_of_thing(thing: Thing) -> tuple[RegistryEvent, ...]:
    """Return the events of the thing's creation."""
    return ThingEvent(EventOperation.CREATED, thing), *_association(EventOperation.ADDED, thing, thing.type_name)


def update_of_thing(before: Thing, after: Thing) -> tuple[RegistryEvent, ...]:
    """Return the events of the thing's update."""
    event = ThingEvent(EventOperation.UPDATED, after)
    if before.type_name == after.type_name:
        return (event,)
    removed = _association(EventOperation.REMOVED, after, before.type_name)
    return event, *removed, *_association(EventOperation.ADDED, after, after.type_name)


def deletion_of_thing(thing: Thing, groups: Sequence[ThingGroup]) -> tuple[RegistryEvent, ...]:
    """Return the events of the deletion of the thing, which is in these groups."""
    left = [GroupMembershipEvent(EventOperation.REMOVED, group, thing) for group in groups]
    association = _association(EventOperation.REMOVED, thing, thing.type_name)
    return *left, *association, ThingEvent(EventOperation.DELETED, thing)


def change_of_group(
    operation: EventOperation, group: ThingGroup, above: tuple[ThingGroup, ...]
) -> tuple[RegistryEvent, ...]:
    """Return the events of a creation, update or deletion of the group, which is below the groups in ``above``."""
    event = ThingGroupEvent(operation, group, above)
    if not above or operation not in _OF_PLACE:
        return (event,)
    return event, GroupHierarchyEvent(_OF_PLACE[operation], above[-1], group)


def _association(
    operation: EventOperation, thing: Thing, type_name: ThingTypeName | None
) -> tuple[TypeAssociationEvent, ...]:
    return () if type_name is None else (TypeAssociationEvent(operation, thing, type_name),)
