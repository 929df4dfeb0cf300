"""Owns the registry events in AWS IoT's form: their topics and their JSON. Publishes nothing."""

import uuid
from datetime import datetime
from typing import Final

import msgspec

from thingmint.core.registry.registry_event import (
    GroupHierarchyEvent,
    GroupMembershipEvent,
    RegistryEvent,
    ThingEvent,
    ThingGroupEvent,
    ThingTypeEvent,
    TypeAssociationEvent,
)
from thingmint.core.registry.thing_type import PropagatingAttribute
from thingmint.core.topics.patterns import event_topic

# Any namespace is suitable, because the names in it are unique.
_MEMBERSHIPS: Final = uuid.NAMESPACE_OID


def registry_event(event: RegistryEvent, event_id: str, at: datetime) -> tuple[str, bytes]:
    """Return topic and payload of the message that AWS publishes for the event."""
    common: dict[str, object] = {
        "eventType": f"{event.event_type}_EVENT",
        "eventId": event_id,
        "timestamp": _milliseconds(at),
        "operation": event.operation.value,
    }
    # AWS's events of type associations have no account.
    if not isinstance(event, TypeAssociationEvent):
        common["accountId"] = event.scope.account
    topic = event_topic(f"{_subject(event)}/{event.operation.lower()}")
    return topic, msgspec.json.encode(common | _members(event))


def _subject(event: RegistryEvent) -> str:
    match event:
        case ThingEvent():
            return f"thing/{event.thing.name}"
        case ThingTypeEvent():
            return f"thingType/{event.thing_type.name}"
        case TypeAssociationEvent():
            return f"thingTypeAssociation/thing/{event.thing.name}/thingType/{event.type_name}"
        case ThingGroupEvent():
            return f"thingGroup/{event.group.name}"
        case GroupMembershipEvent():
            return f"thingGroupMembership/thingGroup/{event.group.name}/thing/{event.thing.name}"
        case GroupHierarchyEvent():
            return f"thingGroupHierarchy/thingGroup/{event.parent.name}/childThingGroup/{event.child.name}"


def _members(event: RegistryEvent) -> dict[str, object]:
    match event:
        case ThingEvent():
            return _thing(event)
        case ThingTypeEvent():
            return _thing_type(event)
        case TypeAssociationEvent():
            return {
                "thingId": event.thing.thing_id,
                "thingName": event.thing.name,
                "thingTypeName": event.type_name,
            }
        case ThingGroupEvent():
            return _thing_group(event)
        case GroupMembershipEvent():
            return _membership(event)
        case GroupHierarchyEvent():
            return {
                "thingGroupId": event.parent.group_id,
                "thingGroupName": event.parent.name,
                "childGroupId": event.child.group_id,
                "childGroupName": event.child.name,
            }


def _thing(event: ThingEvent) -> dict[str, object]:
    thing = event.thing
    return {
        "thingId": thing.thing_id,
        "thingName": thing.name,
        "versionNumber": thing.version,
        "thingTypeName": thing.type_name,
        # AWS's own spelling in its messages.
        "billinGroupName": thing.billing_group_name,
        "attributes": thing.attributes.as_dict(),
    }


def _thing_type(event: ThingTypeEvent) -> dict[str, object]:
    thing_type, properties = event.thing_type, event.thing_type.properties
    return {
        "thingTypeId": thing_type.type_id,
        "thingTypeName": thing_type.name,
        "isDeprecated": thing_type.is_deprecated,
        "deprecationDate": None if thing_type.deprecated_at is None else _milliseconds(thing_type.deprecated_at),
        "searchableAttributes": list(properties.searchable_attributes),
        "propagatingAttributes": [_propagating(attribute) for attribute in properties.propagating_attributes],
        "description": properties.description or None,
    }


def _propagating(attribute: PropagatingAttribute) -> dict[str, str]:
    source = {"thingAttribute": attribute.thing_attribute, "connectionAttribute": attribute.connection_attribute}
    named = {name: value for name, value in source.items() if value is not None}
    return {"userPropertyKey": attribute.user_property_key} | named


def _thing_group(event: ThingGroupEvent) -> dict[str, object]:
    group, above = event.group, event.above
    return {
        "thingGroupId": group.group_id,
        "thingGroupName": group.name,
        "versionNumber": group.version,
        "parentGroupName": group.parent_name,
        "parentGroupId": above[-1].group_id if above else None,
        "description": group.description or None,
        "rootToParentThingGroups": [{"groupArn": each.arn, "groupId": each.group_id} for each in above] or None,
        "attributes": group.attributes.as_dict(),
        # For dynamic groups, which this service does not have.
        "dynamicGroupMappingId": None,
    }


def _membership(event: GroupMembershipEvent) -> dict[str, object]:
    group, thing = event.group, event.thing
    # A membership has no stored id. It is derived from the two ids, so that both events of a membership have the
    # same id.
    membership_id = uuid.uuid5(_MEMBERSHIPS, f"{group.group_id}/{thing.thing_id}")
    return {
        "groupArn": group.arn,
        "groupId": group.group_id,
        "thingArn": thing.arn,
        "thingId": thing.thing_id,
        "membershipId": str(membership_id),
    }


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)
