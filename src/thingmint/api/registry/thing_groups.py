"""Owns the messages and operations of thing groups. Their rules are in `registration.registry.thing_groups`."""

from enum import StrEnum
from typing import Annotated

from thingmint.api.registry.registry_messages import (
    AttributePayloadMessage,
    DescriptionText,
    GroupNameAndArn,
    RegistryNameText,
    new_attributes,
    whole_payload_of,
)
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message, PageSize, Tag, Timestamp, tags_of
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.core.caller import Caller
from thingmint.core.identifiers import Scope, ThingGroupName, parse_thing_group_name, thing_group_arn
from thingmint.core.registry.thing_group import GroupUpdate, ThingGroup
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.registry import thing_groups


class DynamicGroupStatus(StrEnum):
    """The status of a dynamic group; Thingmint has only static groups, which have no status."""

    ACTIVE = "ACTIVE"
    BUILDING = "BUILDING"
    REBUILDING = "REBUILDING"


class ThingGroupProperties(Message, frozen=True, kw_only=True):
    thing_group_description: DescriptionText | None = None
    attribute_payload: AttributePayloadMessage | None = None


class CreateThingGroupRequest(Message, frozen=True, kw_only=True):
    thing_group_name: Annotated[RegistryNameText, PATH]
    parent_group_name: Annotated[RegistryNameText | None, BODY] = None
    thing_group_properties: Annotated[ThingGroupProperties | None, BODY] = None
    tags: Annotated[list[Tag] | None, BODY] = None


class CreateThingGroupResponse(Message, frozen=True, kw_only=True):
    thing_group_name: str
    thing_group_arn: str
    thing_group_id: str


async def create_thing_group(
    authority: RegistrationAuthority, caller: Caller, request: CreateThingGroupRequest
) -> CreateThingGroupResponse:
    """Create a static thing group, or answer as before if one was created with the same request.

    7 levels, 100 direct children.
    """
    properties, parent = request.thing_group_properties or ThingGroupProperties(), request.parent_group_name
    group = await thing_groups.create(
        authority,
        caller,
        parse_thing_group_name(request.thing_group_name),
        parent_name=None if parent is None else parse_thing_group_name(parent),
        description=properties.thing_group_description or "",
        attributes=new_attributes(properties.attribute_payload),
        tags=tags_of(request.tags),
    )
    return CreateThingGroupResponse(
        thing_group_name=group.name, thing_group_arn=group.arn, thing_group_id=group.group_id
    )


class DescribeThingGroupRequest(Message, frozen=True, kw_only=True):
    thing_group_name: Annotated[RegistryNameText, PATH]


class ThingGroupMetadata(Message, frozen=True, kw_only=True):
    parent_group_name: str | None = None
    root_to_parent_thing_groups: list[GroupNameAndArn] | None = None
    creation_date: Timestamp


class DescribeThingGroupResponse(Message, frozen=True, kw_only=True):
    thing_group_name: str
    thing_group_id: str
    thing_group_arn: str
    version: int
    thing_group_properties: ThingGroupProperties
    thing_group_metadata: ThingGroupMetadata
    # Only dynamic groups have these members.
    index_name: str | None = None
    query_string: str | None = None
    query_version: str | None = None
    status: DynamicGroupStatus | None = None


async def describe_thing_group(
    authority: RegistrationAuthority, caller: Caller, request: DescribeThingGroupRequest
) -> DescribeThingGroupResponse:
    """Answer with everything that is known of a thing group."""
    group = await thing_groups.describe(authority, caller, parse_thing_group_name(request.thing_group_name))
    return DescribeThingGroupResponse(
        thing_group_name=group.name,
        thing_group_id=group.group_id,
        thing_group_arn=group.arn,
        version=group.version,
        thing_group_properties=_properties(group),
        thing_group_metadata=_metadata(group),
    )


class UpdateThingGroupRequest(Message, frozen=True, kw_only=True):
    thing_group_name: Annotated[RegistryNameText, PATH]
    thing_group_properties: Annotated[ThingGroupProperties, BODY]
    expected_version: Annotated[int | None, BODY] = None


class UpdateThingGroupResponse(Message, frozen=True, kw_only=True):
    version: int


async def update_thing_group(
    authority: RegistrationAuthority, caller: Caller, request: UpdateThingGroupRequest
) -> UpdateThingGroupResponse:
    """Set the description and the attributes of a thing group; remove those that the request does not contain.

    Terraform and CloudFormation send the complete properties.
    """
    properties = request.thing_group_properties
    wanted = GroupUpdate(
        properties.thing_group_description or "",
        whole_payload_of(properties.attribute_payload),
        request.expected_version,
    )
    group = await thing_groups.update(authority, caller, parse_thing_group_name(request.thing_group_name), wanted)
    return UpdateThingGroupResponse(version=group.version)


class DeleteThingGroupRequest(Message, frozen=True, kw_only=True):
    thing_group_name: Annotated[RegistryNameText, PATH]
    expected_version: Annotated[int | None, QUERY] = None


async def delete_thing_group(
    authority: RegistrationAuthority, caller: Caller, request: DeleteThingGroupRequest
) -> None:
    """Delete a thing group without children, if it exists; its things leave it, and its policies are detached."""
    name = parse_thing_group_name(request.thing_group_name)
    await thing_groups.delete(authority, caller, name, request.expected_version)


class ListThingGroupsRequest(Message, frozen=True, kw_only=True):
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None
    parent_group: Annotated[RegistryNameText | None, QUERY] = None
    name_prefix_filter: Annotated[RegistryNameText | None, QUERY] = None
    recursive: Annotated[bool | None, QUERY] = None


class ListThingGroupsResponse(Message, frozen=True, kw_only=True):
    thing_groups: list[GroupNameAndArn]
    next_token: str | None = None


async def list_thing_groups(
    authority: RegistrationAuthority, caller: Caller, request: ListThingGroupsRequest
) -> ListThingGroupsResponse:
    """Answer with a page of the account's groups, or of those below one."""
    parent, prefix = request.parent_group, request.name_prefix_filter or ""
    filters = (parent or "", prefix, str(request.recursive))
    listing = Listing("ListThingGroups", caller.scope, ascending=True, filters=filters)
    page = await thing_groups.list_groups(
        authority,
        caller,
        listing.page_request(request.max_results, request.next_token),
        parent_name=None if parent is None else parse_thing_group_name(parent),
        prefix=prefix,
        recursive=request.recursive,
    )
    return ListThingGroupsResponse(
        thing_groups=[group_reference(caller.scope, name) for name in page.items], next_token=listing.marker(page.next)
    )


def group_reference(scope: Scope, name: ThingGroupName) -> GroupNameAndArn:
    """Return the thing group's entry in a list."""
    return GroupNameAndArn(group_name=name, group_arn=thing_group_arn(scope, name))


def _properties(group: ThingGroup) -> ThingGroupProperties:
    attributes = group.attributes.as_dict()
    return ThingGroupProperties(
        thing_group_description=group.description or None,
        attribute_payload=AttributePayloadMessage(attributes=attributes) if attributes else None,
    )


def _metadata(group: ThingGroup) -> ThingGroupMetadata:
    above = [group_reference(group.scope, name) for name in group.ancestors]
    return ThingGroupMetadata(
        parent_group_name=group.parent_name,
        root_to_parent_thing_groups=above or None,
        creation_date=epoch_seconds(group.created_at),
    )
