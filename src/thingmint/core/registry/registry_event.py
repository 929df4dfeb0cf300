"""Owns what happens in a registry that an account may ask to be told of, in AWS IoT's words; tells nobody.

What creation makes besides is told by itself, and so is what ends with a deletion: the type of a thing, its place in
groups, the place of a group below another one.
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
    """What an event says of its resource, or of a relation between two."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"
    ADDED = "ADDED"
    REMOVED = "REMOVED"


# What happened to a group's place below its parent.
_OF_PLACE = {EventOperation.CREATED: EventOperation.ADDED, EventOperation.DELETED: EventOperation.REMOVED}


@dataclass(frozen=True, slots=True)
class ThingEvent:
    """A thing was created, updated or deleted; it is told as it is then, or was last."""

    event_type: ClassVar[EventType] = EventType.THING
    operation: EventOperation
    thing: Thing

    @property
    def scope(self) -> Scope:
        """Whose registry it is."""
        return self.thing.scope


@dataclass(frozen=True, slots=True)
class ThingTypeEvent:
    """A thing type was created, changed or deleted; deprecation is a change."""

    event_type: ClassVar[EventType] = EventType.THING_TYPE
    operation: EventOperation
    thing_type: ThingType

    @property
    def scope(self) -> Scope:
        """Whose registry it is."""
        return self.thing_type.scope


@dataclass(frozen=True, slots=True)
class TypeAssociationEvent:
    """A thing got a type, or has it no longer."""

    event_type: ClassVar[EventType] = EventType.THING_TYPE_ASSOCIATION
    operation: EventOperation
    thing: Thing
    type_name: ThingTypeName

    @property
    def scope(self) -> Scope:
        """Whose registry it is."""
        return self.thing.scope


@dataclass(frozen=True, slots=True)
class ThingGroupEvent:
    """A thing group was created, updated or deleted; ``above`` leads from the root to its parent."""

    event_type: ClassVar[EventType] = EventType.THING_GROUP
    operation: EventOperation
    group: ThingGroup
    above: tuple[ThingGroup, ...]

    @property
    def scope(self) -> Scope:
        """Whose registry it is."""
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
        """Whose registry it is."""
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
        """Whose registry it is."""
        return self.child.scope


RegistryEvent: TypeAlias = (
    ThingEvent | ThingTypeEvent | TypeAssociationEvent | ThingGroupEvent | GroupMembershipEvent | GroupHierarchyEvent
)


def creation_of_thing(thing: Thing) -> tuple[RegistryEvent, ...]:
    """Return what happens when the thing is created."""
    return ThingEvent(EventOperation.CREATED, thing), *_association(EventOperation.ADDED, thing, thing.type_name)


def update_of_thing(before: Thing, after: Thing) -> tuple[RegistryEvent, ...]:
    """Return what happens when the thing is updated."""
    event = ThingEvent(EventOperation.UPDATED, after)
    if before.type_name == after.type_name:
        return (event,)
    removed = _association(EventOperation.REMOVED, after, before.type_name)
    return event, *removed, *_association(EventOperation.ADDED, after, after.type_name)


def deletion_of_thing(thing: Thing, groups: Sequence[ThingGroup]) -> tuple[RegistryEvent, ...]:
    """Return what happens when the thing, which is in these groups, is deleted."""
    left = [GroupMembershipEvent(EventOperation.REMOVED, group, thing) for group in groups]
    association = _association(EventOperation.REMOVED, thing, thing.type_name)
    return *left, *association, ThingEvent(EventOperation.DELETED, thing)


def change_of_group(
    operation: EventOperation, group: ThingGroup, above: tuple[ThingGroup, ...]
) -> tuple[RegistryEvent, ...]:
    """Return what happens when the group, which stands below these, is created, updated or deleted."""
    event = ThingGroupEvent(operation, group, above)
    if not above or operation not in _OF_PLACE:
        return (event,)
    return event, GroupHierarchyEvent(_OF_PLACE[operation], above[-1], group)


def _association(
    operation: EventOperation, thing: Thing, type_name: ThingTypeName | None
) -> tuple[TypeAssociationEvent, ...]:
    return () if type_name is None else (TypeAssociationEvent(operation, thing, type_name),)
