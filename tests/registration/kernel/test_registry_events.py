"""What an account is told of its registry: what it asked for, when it is committed, and nothing else."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, Listener, caller_with
from tests.support.registration.bulk import BUCKET, KEY, TEMPLATE, device, write_input
from tests.support.registration.provisioning import ROLE_ARN
from tests.support.registration.registry import Registry

from thingmint.core.errors import InvalidRequest, ServiceUnavailable
from thingmint.core.identifiers import AccountId, ThingGroupName, ThingTypeName
from thingmint.core.registry.event_configuration import EventConfigurations, EventType
from thingmint.core.registry.registry_event import (
    GroupHierarchyEvent,
    GroupMembershipEvent,
    RegistryEvent,
    ThingEvent,
    ThingGroupEvent,
    ThingTypeEvent,
    TypeAssociationEvent,
)
from thingmint.core.registry.thing_group import GroupUpdate
from thingmint.core.registry.thing_type import PropagatingAttribute, ThingTypeUpdate
from thingmint.data_directory.buckets import Buckets
from thingmint.records.registry import event_configurations as event_configuration_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.wanted_events import KNOWN_FOR, WantedEvents
from thingmint.registration.provisioning import bulk
from thingmint.registration.provisioning.bulk_runner import BulkRunner
from thingmint.registration.provisioning.provisioning import register_thing
from thingmint.registration.registry import event_configurations, thing_groups, thing_types

ALL = tuple(EventType)


@pytest.fixture
def clock(registry: Registry) -> SettableClock:
    clock, numbers = SettableClock(NOW), iter(range(10_000))
    registry.authority = structs.replace(
        registry.authority,
        clock=clock,
        new_generation_id=lambda: f"id-{next(numbers)}",
        thing_type_deletable_after=timedelta(),
    )
    return clock


@pytest.fixture(autouse=True)
def _clock(clock: SettableClock) -> None:
    """Every registry here has it."""


async def switch(registry: Registry, *types: EventType, on: bool = True) -> None:
    await event_configurations.update(registry.authority, registry.caller, dict.fromkeys(types, on))


def told(registry: Registry) -> Iterator[str]:
    """Return in words what was told, and forget it."""
    assert isinstance(registry.authority.events, Listener)
    events = registry.authority.events.events[:]
    registry.authority.events.events.clear()
    return map(words, events)


def words(event: RegistryEvent) -> str:
    assert event.scope == caller_with().scope
    operation = event.operation.lower()
    match event:
        case ThingEvent():
            return f"thing {event.thing.name} {operation} at version {event.thing.version}"
        case ThingTypeEvent():
            return f"type {event.thing_type.name} {operation}"
        case TypeAssociationEvent():
            return f"type {event.type_name} of {event.thing.name} {operation}"
        case ThingGroupEvent():
            above = "/".join(group.name for group in event.above)
            return f"group {above}/{event.group.name} {operation} at version {event.group.version}"
        case GroupMembershipEvent():
            return f"{event.thing.name} in {event.group.name} {operation}"
        case GroupHierarchyEvent():
            return f"{event.child.name} below {event.parent.name} {operation}"


class Outbox:
    """Keeps events with their changes, as on PostgreSQL."""

    def __init__(self) -> None:
        self.kept: list[RegistryEvent] = []

    def keep(self, events: Sequence[RegistryEvent]) -> Steps[bool]:
        self.kept.extend(events)
        yield from ()
        return True


async def test_events_that_are_kept_with_their_change_are_not_told_again(registry: Registry) -> None:
    await switch(registry, EventType.THING)
    outbox = Outbox()
    registry.authority = structs.replace(registry.authority, outbox=outbox)
    await registry.create_thing("lamp")
    # More than once, where a transaction had to be repeated.
    kept = len(outbox.kept)
    assert {type(event) for event in outbox.kept} == {ThingEvent}
    assert list(told(registry)) == []
    await registry.create_type("unwanted")
    assert len(outbox.kept) == kept


async def test_nothing_is_told_to_who_has_asked_for_nothing(registry: Registry) -> None:
    await live(registry)

    assert not list(told(registry))


async def test_a_whole_life_is_told_in_its_order(registry: Registry) -> None:
    await switch(registry, *ALL)

    await live(registry)

    assert list(told(registry)) == LIFE


@pytest.mark.parametrize("event_type", ALL)
async def test_a_type_that_is_on_is_told_alone(registry: Registry, event_type: EventType) -> None:
    await switch(registry, event_type)

    await live(registry)

    prefix = {
        EventType.THING: ("thing ",),
        EventType.THING_TYPE: ("type bulb created", "type bulb updated", "type bulb deleted", "type tube created"),
        EventType.THING_TYPE_ASSOCIATION: ("type bulb of", "type tube of"),
        EventType.THING_GROUP: ("group ",),
        EventType.THING_GROUP_MEMBERSHIP: ("lamp in",),
        EventType.THING_GROUP_HIERARCHY: ("attic below",),
    }.get(event_type, ())
    assert list(told(registry)) == [line for line in LIFE if line.startswith(prefix)]


async def live(registry: Registry) -> None:
    """Do everything that a registry may be told of."""
    authority, caller = registry.authority, registry.caller
    await registry.create_type("bulb", "watts")
    await registry.create_type("tube")
    propagating = (PropagatingAttribute("w", thing_attribute="watts"),)
    await thing_types.update(authority, caller, ThingTypeName("bulb"), ThingTypeUpdate(None, None, propagating))
    await registry.create_group("house")
    await registry.create_group("attic", "house")
    await thing_groups.update(authority, caller, ThingGroupName("attic"), GroupUpdate("under the roof"))
    await registry.create_billing_group("we")
    await registry.create_thing("lamp", "bulb")
    await registry.join("attic", "lamp")
    await registry.update_thing("lamp", colour="red")
    await registry.update_thing("lamp", "tube")
    await registry.update_thing("lamp", remove_type=True)
    await registry.bill("we", "lamp")
    await registry.unbill("we", "lamp")
    await registry.update_thing("lamp", "bulb")
    await registry.create_group("yard")
    await registry.move("lamp", add=["yard"])
    await registry.leave("attic", "lamp")
    await registry.delete_thing("lamp")
    await registry.delete_group("attic")
    await registry.deprecate_type("bulb")
    await registry.deprecate_type("bulb", undo=True)
    await registry.deprecate_type("bulb")
    await registry.delete_type("bulb")


LIFE = [
    "type bulb created",
    "type tube created",
    "type bulb updated",
    "group /house created at version 1",
    "group house/attic created at version 1",
    "attic below house added",
    "group house/attic updated at version 2",
    "thing lamp created at version 1",
    "type bulb of lamp added",
    "lamp in attic added",
    "thing lamp updated at version 2",
    "thing lamp updated at version 3",
    "type bulb of lamp removed",
    "type tube of lamp added",
    "thing lamp updated at version 4",
    "type tube of lamp removed",
    "thing lamp updated at version 5",
    "thing lamp updated at version 6",
    "thing lamp updated at version 7",
    "type bulb of lamp added",
    "group /yard created at version 1",
    "lamp in yard added",
    "lamp in attic removed",
    "lamp in yard removed",
    "type bulb of lamp removed",
    "thing lamp deleted at version 7",
    "group house/attic deleted at version 2",
    "attic below house removed",
    "type bulb updated",
    "type bulb updated",
    "type bulb updated",
    "type bulb deleted",
]


async def test_what_changes_nothing_is_not_told(registry: Registry) -> None:
    await live(registry)
    await registry.create_thing("lamp")
    await registry.create_group("attic", "house")
    await registry.join("yard", "lamp")
    await switch(registry, *ALL)

    await registry.create_thing("lamp")
    await registry.create_type("tube")
    await registry.create_group("attic", "house")
    await registry.join("yard", "lamp")
    await registry.leave("attic", "lamp")
    await registry.delete_thing("unknown")
    await registry.delete_group("unknown")

    assert not list(told(registry))


async def test_what_is_refused_or_lost_is_not_told(registry: Registry) -> None:
    await registry.create_type("bulb")
    await switch(registry, *ALL)
    assert isinstance(registry.store, MemoryStore)

    with pytest.raises(InvalidRequest):
        await registry.delete_type("bulb")
    registry.store.lose_commit_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await registry.create_thing("lamp", "bulb")

    assert not list(told(registry))


async def test_events_are_told_until_they_are_switched_off(registry: Registry) -> None:
    await registry.create_thing("first")
    await switch(registry, EventType.THING)
    await registry.create_thing("second")
    await switch(registry, EventType.THING, on=False)
    await registry.create_thing("third")

    assert list(told(registry)) == ["thing second created at version 1"]


async def test_accounts_are_told_of_their_own_registry(registry: Registry) -> None:
    await switch(registry, EventType.THING)
    other = replace(registry, caller=caller_with(account=AccountId("210987654321")))

    await other.create_thing("theirs")
    await registry.create_thing("ours")

    assert list(told(registry)) == ["thing ours created at version 1"]


@pytest.mark.parametrize(
    ("later", "is_known"),
    [
        (KNOWN_FOR - timedelta(microseconds=1), False),
        (KNOWN_FOR, True),
        (-timedelta(microseconds=1), True),
    ],
    ids=["before a second has passed", "after a second", "when the clock was set back"],
)
async def test_what_another_node_switched_is_known_within_a_second(
    registry: Registry, clock: SettableClock, later: timedelta, is_known: bool
) -> None:
    await registry.create_thing("first")
    elsewhere = replace(registry, authority=structs.replace(registry.authority, wanted_events=WantedEvents()))
    await switch(elsewhere, EventType.THING)

    clock.at = NOW + later
    await registry.create_thing("second")

    assert list(told(registry)) == (["thing second created at version 1"] if is_known else [])


async def test_an_update_of_which_nobody_knows_whether_it_was_committed_is_looked_up(registry: Registry) -> None:
    await registry.create_thing("first")
    assert isinstance(registry.store, MemoryStore)
    write = registry.store.write

    async def lose_the_answer(program: Any) -> None:
        await write(program)
        raise ServiceUnavailable

    registry.store.write = lose_the_answer  # type: ignore[method-assign, assignment]  # as a connection that breaks
    with pytest.raises(ServiceUnavailable):
        await switch(registry, EventType.THING)
    registry.store.write = write  # type: ignore[method-assign]  # it is back

    await registry.create_thing("second")

    assert list(told(registry)) == ["thing second created at version 1"]


@dataclass
class Asked:
    """A table that is asked for configurations, while somebody switches something."""

    wanted: WantedEvents
    switched: bool
    times: int = 0

    def event_configurations(self, scope: object) -> Steps[EventConfigurations]:
        del scope
        self.times += 1
        if self.switched:
            self.wanted.forget()
        yield from ()
        return EventConfigurations()


@pytest.mark.parametrize(("switched", "times"), [(False, 1), (True, 3)])
def test_what_is_read_is_remembered_unless_something_was_switched_meanwhile(
    monkeypatch: pytest.MonkeyPatch, switched: bool, times: int
) -> None:
    wanted = WantedEvents()
    asked = Asked(wanted, switched)
    monkeypatch.setattr(event_configuration_table, "event_configurations", asked.event_configurations)

    for _ in range(3):
        assert list(wanted.of(caller_with().scope, NOW)) == []

    assert asked.times == times


REGISTRATION = {
    "Parameters": {},
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": "lamp", "ThingTypeName": "tube", "ThingGroups": ["yard", "attic"]},
            "OverrideSettings": {"ThingTypeName": "REPLACE", "ThingGroups": "REPLACE"},
        }
    },
}


async def test_a_registration_is_told_as_what_it_changes(registry: Registry) -> None:
    for group in ("house", "yard"):
        await registry.create_group(group)
    await registry.create_group("attic", "house")
    for name in ("bulb", "tube"):
        await registry.create_type(name)
    await switch(registry, *ALL)
    body = json.dumps(REGISTRATION)

    await register_thing(registry.authority, registry.caller, body, {})
    assert list(told(registry)) == [
        "thing lamp created at version 1",
        "type tube of lamp added",
        "lamp in attic added",
        "lamp in yard added",
    ]
    await register_thing(registry.authority, registry.caller, body, {})
    assert not list(told(registry))

    await registry.update_thing("lamp", "bulb")
    await registry.move("lamp", remove=["attic", "yard"], add=["house"])
    list(told(registry))
    await register_thing(registry.authority, registry.caller, body, {})
    assert list(told(registry)) == [
        "thing lamp updated at version 3",
        "type bulb of lamp removed",
        "type tube of lamp added",
        "lamp in house removed",
        "lamp in attic added",
        "lamp in yard added",
    ]


async def test_each_line_of_a_bulk_registration_is_told_of(registry: Registry, tmp_path: Path) -> None:
    registry.authority = structs.replace(registry.authority, files=Buckets(tmp_path))
    await switch(registry, EventType.THING)
    write_input(tmp_path, [device(1), "garbage", device(2)])
    await bulk.start(registry.authority, registry.caller, TEMPLATE, BUCKET, KEY, ROLE_ARN)

    await BulkRunner(registry.authority, "this process").work()

    assert sorted(told(registry)) == ["thing sensor-1 created at version 1", "thing sensor-2 created at version 1"]
