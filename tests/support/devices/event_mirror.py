"""Owns a registry as somebody knows it who hears nothing but its events; asks nobody, and believes no event twice."""

from dataclasses import dataclass, field

from tests.support.registration.registry_model import ModelThing

from thingmint.core.registry.registry_event import (
    EventOperation,
    GroupHierarchyEvent,
    GroupMembershipEvent,
    RegistryEvent,
    ThingEvent,
    ThingGroupEvent,
    ThingTypeEvent,
    TypeAssociationEvent,
)

CREATED, DELETED, ADDED = EventOperation.CREATED, EventOperation.DELETED, EventOperation.ADDED


@dataclass
class EventMirror:
    """What was told, put together."""

    types: dict[str, bool] = field(default_factory=dict)
    things: dict[str, ModelThing] = field(default_factory=dict)
    type_of: dict[str, str] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    parent_of: dict[str, str] = field(default_factory=dict)
    memberships: list[tuple[str, str]] = field(default_factory=list)

    def hear(self, event: RegistryEvent) -> None:
        """Believe the event; it must fit what is known."""
        match event:
            case ThingEvent():
                self._thing(event)
            case ThingTypeEvent():
                assert (event.thing_type.name in self.types) is (event.operation is not CREATED)
                self.types[event.thing_type.name] = event.thing_type.is_deprecated
                if event.operation is DELETED:
                    del self.types[event.thing_type.name]
            case TypeAssociationEvent():
                self._association(event)
            case ThingGroupEvent():
                self._group(event)
            case GroupMembershipEvent():
                membership = (event.thing.name, event.group.name)
                assert (membership in self.memberships) is (event.operation is not ADDED)
                (self.memberships.append if event.operation is ADDED else self.memberships.remove)(membership)
            case GroupHierarchyEvent():
                self._place(event)

    def groups_of(self, thing: str) -> list[str]:
        """Return the groups that the thing is in, in the order in which it was added."""
        return [group for member, group in self.memberships if member == thing]

    def _thing(self, event: ThingEvent) -> None:
        thing, operation = event.thing, event.operation
        known = self.things.pop(thing.name, None)
        assert (known is None) is (operation is CREATED)
        if operation is DELETED:
            # The end of what the thing had was told before.
            assert thing.name not in self.type_of
            assert not self.groups_of(thing.name)
            return
        assert thing.version == (1 if known is None else known.version + 1)
        self.things[thing.name] = ModelThing(
            thing.type_name, thing.billing_group_name, thing.attributes.as_dict(), thing.version
        )

    def _association(self, event: TypeAssociationEvent) -> None:
        if event.operation is ADDED:
            assert event.thing.name not in self.type_of
            self.type_of[event.thing.name] = event.type_name
        else:
            assert self.type_of.pop(event.thing.name) == event.type_name

    def _group(self, event: ThingGroupEvent) -> None:
        name = event.group.name
        assert (name in self.groups) is (event.operation is not CREATED)
        self.groups.add(name)
        if event.operation is DELETED:
            self.groups.remove(name)
            self.memberships = [each for each in self.memberships if each[1] != name]

    def _place(self, event: GroupHierarchyEvent) -> None:
        if event.operation is ADDED:
            assert event.child.name not in self.parent_of
            self.parent_of[event.child.name] = event.parent.name
        else:
            assert self.parent_of.pop(event.child.name) == event.parent.name
