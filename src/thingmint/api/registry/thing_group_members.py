"""Owns the messages and operations of things in groups, with rules in `registration.registry.thing_group_members`."""

from typing import Annotated

from thingmint.api.registry.registry_messages import GroupNameAndArn, RegistryNameText, name_of
from thingmint.api.registry.thing_groups import group_reference
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message, PageSize
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import (
    Scope,
    ThingGroupName,
    ThingName,
    parse_thing_group_name,
    parse_thing_name,
)
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.registry import thing_group_members


class AddThingToThingGroupRequest(Message, frozen=True, kw_only=True):
    thing_group_name: Annotated[RegistryNameText | None, BODY] = None
    thing_group_arn: Annotated[str | None, BODY] = None
    thing_name: Annotated[RegistryNameText | None, BODY] = None
    thing_arn: Annotated[str | None, BODY] = None
    # It applies to dynamic groups, which Thingmint does not have.
    override_dynamic_groups: Annotated[bool | None, BODY] = None


async def add_thing_to_thing_group(
    authority: RegistrationAuthority, caller: Caller, request: AddThingToThingGroupRequest
) -> None:
    """Put a thing into a group: at most ten, one in each hierarchy."""
    group_name, thing_name = _names(caller.scope, request)
    await thing_group_members.add_thing(authority, caller, group_name, thing_name)


class RemoveThingFromThingGroupRequest(Message, frozen=True, kw_only=True):
    thing_group_name: Annotated[RegistryNameText | None, BODY] = None
    thing_group_arn: Annotated[str | None, BODY] = None
    thing_name: Annotated[RegistryNameText | None, BODY] = None
    thing_arn: Annotated[str | None, BODY] = None


async def remove_thing_from_thing_group(
    authority: RegistrationAuthority, caller: Caller, request: RemoveThingFromThingGroupRequest
) -> None:
    """Take a thing out of a group."""
    group_name, thing_name = _names(caller.scope, request)
    await thing_group_members.remove_thing(authority, caller, group_name, thing_name)


class UpdateThingGroupsForThingRequest(Message, frozen=True, kw_only=True):
    thing_name: Annotated[RegistryNameText | None, BODY] = None
    thing_groups_to_add: Annotated[list[RegistryNameText] | None, BODY] = None
    thing_groups_to_remove: Annotated[list[RegistryNameText] | None, BODY] = None
    override_dynamic_groups: Annotated[bool | None, BODY] = None


async def update_thing_groups_for_thing(
    authority: RegistrationAuthority, caller: Caller, request: UpdateThingGroupsForThingRequest
) -> None:
    """Take a thing out of groups and put it into others, all or nothing."""
    if request.thing_name is None:
        raise InvalidRequest("thingName must be given")
    await thing_group_members.update_groups(
        authority,
        caller,
        parse_thing_name(request.thing_name),
        add=[parse_thing_group_name(name) for name in request.thing_groups_to_add or ()],
        remove=[parse_thing_group_name(name) for name in request.thing_groups_to_remove or ()],
    )


class ListThingGroupsForThingRequest(Message, frozen=True, kw_only=True):
    thing_name: Annotated[RegistryNameText, PATH]
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None


class ListThingGroupsForThingResponse(Message, frozen=True, kw_only=True):
    thing_groups: list[GroupNameAndArn]
    next_token: str | None = None


async def list_thing_groups_for_thing(
    authority: RegistrationAuthority, caller: Caller, request: ListThingGroupsForThingRequest
) -> ListThingGroupsForThingResponse:
    """Answer with a page of the groups that a thing is in."""
    name = parse_thing_name(request.thing_name)
    listing = Listing("ListThingGroupsForThing", caller.scope, ascending=True, filters=(name,))
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await thing_group_members.list_groups(authority, caller, name, page_request)
    return ListThingGroupsForThingResponse(
        thing_groups=[group_reference(caller.scope, group) for group in page.items],
        next_token=listing.marker(page.next),
    )


class ListThingsInThingGroupRequest(Message, frozen=True, kw_only=True):
    thing_group_name: Annotated[RegistryNameText, PATH]
    recursive: Annotated[bool | None, QUERY] = None
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None


class ListThingsInThingGroupResponse(Message, frozen=True, kw_only=True):
    things: list[str]
    next_token: str | None = None


async def list_things_in_thing_group(
    authority: RegistrationAuthority, caller: Caller, request: ListThingsInThingGroupRequest
) -> ListThingsInThingGroupResponse:
    """Answer with a page of the things in a group, or also in the groups below it."""
    name, recursive = parse_thing_group_name(request.thing_group_name), bool(request.recursive)
    listing = Listing("ListThingsInThingGroup", caller.scope, ascending=True, filters=(name, str(recursive)))
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await thing_group_members.list_things(authority, caller, name, page_request, recursive=recursive)
    return ListThingsInThingGroupResponse(things=list(page.items), next_token=listing.marker(page.next))


def _names(
    scope: Scope, request: AddThingToThingGroupRequest | RemoveThingFromThingGroupRequest
) -> tuple[ThingGroupName, ThingName]:
    group_name = name_of(scope, "thinggroup", request.thing_group_name, request.thing_group_arn, "thingGroup")
    thing_name = name_of(scope, "thing", request.thing_name, request.thing_arn, "thing")
    return parse_thing_group_name(group_name), parse_thing_name(thing_name)
