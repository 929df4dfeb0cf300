"""The events of a registry, in AWS IoT's words."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from thingmint.core.identifiers import (
    AccountId,
    BillingGroupName,
    Region,
    Scope,
    ThingGroupName,
    ThingName,
    ThingTypeName,
)
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.event_configuration import EventType
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
from thingmint.core.registry.thing import Thing
from thingmint.core.registry.thing_group import GroupPath, ThingGroup
from thingmint.core.registry.thing_type import PropagatingAttribute, ThingType, ThingTypeProperties
from thingmint.mqtt.edges.registry_events import registry_event

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MILLISECONDS = 1767323045678
SCOPE = Scope(AccountId("123456789012"), Region("eu-west-1"))
ARN = "arn:aws:iot:eu-west-1:123456789012:"
ACCOUNT = {"accountId": "123456789012"}
CREATED, UPDATED, DELETED = EventOperation.CREATED, EventOperation.UPDATED, EventOperation.DELETED
ADDED, REMOVED = EventOperation.ADDED, EventOperation.REMOVED

BULB = ThingTypeName("bulb")
LAMP = Thing(SCOPE, ThingName("lamp"), "lamp-id", AT)
RED_LAMP = replace(
    LAMP,
    type_name=BULB,
    billing_group_name=BillingGroupName("we"),
    attributes=Attributes.of({"colour": "red"}),
    version=3,
)
TYPE = ThingType(SCOPE, BULB, "bulb-id", ThingTypeProperties(), AT)
RICH_TYPE = replace(
    TYPE,
    properties=ThingTypeProperties(
        "a bulb",
        ("colour", "watts"),
        (PropagatingAttribute("c", "colour"), PropagatingAttribute("id", None, "iot:ClientId")),
    ),
    deprecated_at=AT + timedelta(seconds=1),
)
HOUSE = ThingGroup(SCOPE, ThingGroupName("house"), "house-id", AT)
FLOOR = replace(HOUSE, name=ThingGroupName("floor"), group_id="floor-id", ancestors=GroupPath((HOUSE.name,)))
ATTIC = ThingGroup(
    SCOPE,
    ThingGroupName("attic"),
    "attic-id",
    AT,
    GroupPath((HOUSE.name, FLOOR.name)),
    "under the roof",
    Attributes.of({"warm": "yes"}),
    2,
)
MEMBERSHIP = {
    "groupArn": ARN + "thinggroup/attic",
    "groupId": "attic-id",
    "thingArn": ARN + "thing/lamp",
    "thingId": "lamp-id",
    "membershipId": "c1d4fec2-e683-556c-9b2a-403e32f8d9d8",
}


@pytest.mark.parametrize(
    ("event", "topic", "members"),
    [
        (
            ThingEvent(CREATED, LAMP),
            "thing/lamp/created",
            ACCOUNT
            | {
                "thingId": "lamp-id",
                "thingName": "lamp",
                "versionNumber": 1,
                "thingTypeName": None,
                "billinGroupName": None,
                "attributes": {},
            },
        ),
        (
            ThingEvent(DELETED, RED_LAMP),
            "thing/lamp/deleted",
            ACCOUNT
            | {
                "thingId": "lamp-id",
                "thingName": "lamp",
                "versionNumber": 3,
                "thingTypeName": "bulb",
                "billinGroupName": "we",
                "attributes": {"colour": "red"},
            },
        ),
        (
            ThingTypeEvent(CREATED, TYPE),
            "thingType/bulb/created",
            ACCOUNT
            | {
                "thingTypeId": "bulb-id",
                "thingTypeName": "bulb",
                "isDeprecated": False,
                "deprecationDate": None,
                "searchableAttributes": [],
                "propagatingAttributes": [],
                "description": None,
            },
        ),
        (
            ThingTypeEvent(UPDATED, RICH_TYPE),
            "thingType/bulb/updated",
            ACCOUNT
            | {
                "thingTypeId": "bulb-id",
                "thingTypeName": "bulb",
                "isDeprecated": True,
                "deprecationDate": MILLISECONDS + 1000,
                "searchableAttributes": ["colour", "watts"],
                "propagatingAttributes": [
                    {"userPropertyKey": "c", "thingAttribute": "colour"},
                    {"userPropertyKey": "id", "connectionAttribute": "iot:ClientId"},
                ],
                "description": "a bulb",
            },
        ),
        (
            TypeAssociationEvent(REMOVED, LAMP, BULB),
            "thingTypeAssociation/thing/lamp/thingType/bulb/removed",
            {"thingId": "lamp-id", "thingName": "lamp", "thingTypeName": "bulb"},
        ),
        (
            ThingGroupEvent(CREATED, HOUSE, ()),
            "thingGroup/house/created",
            ACCOUNT
            | {
                "thingGroupId": "house-id",
                "thingGroupName": "house",
                "versionNumber": 1,
                "parentGroupName": None,
                "parentGroupId": None,
                "description": None,
                "rootToParentThingGroups": None,
                "attributes": {},
                "dynamicGroupMappingId": None,
            },
        ),
        (
            ThingGroupEvent(UPDATED, ATTIC, (HOUSE, FLOOR)),
            "thingGroup/attic/updated",
            ACCOUNT
            | {
                "thingGroupId": "attic-id",
                "thingGroupName": "attic",
                "versionNumber": 2,
                "parentGroupName": "floor",
                "parentGroupId": "floor-id",
                "description": "under the roof",
                "rootToParentThingGroups": [
                    {"groupArn": ARN + "thinggroup/house", "groupId": "house-id"},
                    {"groupArn": ARN + "thinggroup/floor", "groupId": "floor-id"},
                ],
                "attributes": {"warm": "yes"},
                "dynamicGroupMappingId": None,
            },
        ),
        (
            GroupMembershipEvent(ADDED, ATTIC, LAMP),
            "thingGroupMembership/thingGroup/attic/thing/lamp/added",
            ACCOUNT | MEMBERSHIP,
        ),
        (
            # Its version tells nothing of the membership.
            GroupMembershipEvent(REMOVED, replace(ATTIC, version=3), RED_LAMP),
            "thingGroupMembership/thingGroup/attic/thing/lamp/removed",
            ACCOUNT | MEMBERSHIP,
        ),
        (
            GroupHierarchyEvent(ADDED, FLOOR, ATTIC),
            "thingGroupHierarchy/thingGroup/floor/childThingGroup/attic/added",
            ACCOUNT
            | {
                "thingGroupId": "floor-id",
                "thingGroupName": "floor",
                "childGroupId": "attic-id",
                "childGroupName": "attic",
            },
        ),
    ],
    ids=lambda value: value.replace("/", "-") if isinstance(value, str) else "",
)
def test_an_event_has_its_topic_and_its_members(event: RegistryEvent, topic: str, members: dict[str, object]) -> None:
    told, payload = registry_event(event, "an-event", AT)

    assert told == f"$aws/events/{topic}"
    assert json.loads(payload) == members | {
        "eventType": f"{event.event_type}_EVENT",
        "eventId": "an-event",
        "timestamp": MILLISECONDS,
        "operation": topic.rpartition("/")[2].upper(),
    }


def test_types_of_events_bear_the_names_that_switch_them() -> None:
    events = (ThingEvent, ThingTypeEvent, TypeAssociationEvent, ThingGroupEvent, GroupMembershipEvent)

    assert {event.event_type for event in (*events, GroupHierarchyEvent)} == {
        EventType.THING,
        EventType.THING_TYPE,
        EventType.THING_TYPE_ASSOCIATION,
        EventType.THING_GROUP,
        EventType.THING_GROUP_MEMBERSHIP,
        EventType.THING_GROUP_HIERARCHY,
    }
