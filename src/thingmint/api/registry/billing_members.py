"""Owns the messages and operations of billing groups' things, with rules in `registration.registry.billing_members`."""

from typing import Annotated

from thingmint.api.registry.registry_messages import RegistryNameText, name_of
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message, PageSize
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.core.caller import Caller
from thingmint.core.identifiers import (
    BillingGroupName,
    Scope,
    ThingName,
    parse_billing_group_name,
    parse_thing_name,
)
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.registry import billing_members


class AddThingToBillingGroupRequest(Message, frozen=True, kw_only=True):
    billing_group_name: Annotated[RegistryNameText | None, BODY] = None
    billing_group_arn: Annotated[str | None, BODY] = None
    thing_name: Annotated[RegistryNameText | None, BODY] = None
    thing_arn: Annotated[str | None, BODY] = None


async def add_thing_to_billing_group(
    authority: RegistrationAuthority, caller: Caller, request: AddThingToBillingGroupRequest
) -> None:
    """Put a thing into a billing group, and take it out of any other one."""
    await billing_members.add_thing(authority, caller, *_names(caller.scope, request))


class RemoveThingFromBillingGroupRequest(Message, frozen=True, kw_only=True):
    billing_group_name: Annotated[RegistryNameText | None, BODY] = None
    billing_group_arn: Annotated[str | None, BODY] = None
    thing_name: Annotated[RegistryNameText | None, BODY] = None
    thing_arn: Annotated[str | None, BODY] = None


async def remove_thing_from_billing_group(
    authority: RegistrationAuthority, caller: Caller, request: RemoveThingFromBillingGroupRequest
) -> None:
    """Take a thing out of its billing group."""
    await billing_members.remove_thing(authority, caller, *_names(caller.scope, request))


class ListThingsInBillingGroupRequest(Message, frozen=True, kw_only=True):
    billing_group_name: Annotated[RegistryNameText, PATH]
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None


class ListThingsInBillingGroupResponse(Message, frozen=True, kw_only=True):
    things: list[str]
    next_token: str | None = None


async def list_things_in_billing_group(
    authority: RegistrationAuthority, caller: Caller, request: ListThingsInBillingGroupRequest
) -> ListThingsInBillingGroupResponse:
    """Answer with a page of the things of a billing group."""
    name = parse_billing_group_name(request.billing_group_name)
    listing = Listing("ListThingsInBillingGroup", caller.scope, ascending=True, filters=(name,))
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await billing_members.list_things(authority, caller, name, page_request)
    return ListThingsInBillingGroupResponse(things=list(page.items), next_token=listing.marker(page.next))


def _names(
    scope: Scope, request: AddThingToBillingGroupRequest | RemoveThingFromBillingGroupRequest
) -> tuple[BillingGroupName, ThingName]:
    group_name = name_of(scope, "billinggroup", request.billing_group_name, request.billing_group_arn, "billingGroup")
    thing_name = name_of(scope, "thing", request.thing_name, request.thing_arn, "thing")
    return parse_billing_group_name(group_name), parse_thing_name(thing_name)
