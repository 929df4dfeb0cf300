"""Owns the messages and operations of the things in billing groups; rules: `registration.registry.billing_members`."""

from functools import partial
from typing import Annotated

from thingmint.api.registry.registry_messages import RegistryNameText, in_body, in_path, name_of
from thingmint.api.wire.binding import BODY, PATH, QUERY, RawRequest
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message, PageSize
from thingmint.api.wire.operation import Operation, implemented
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
    """Let a thing belong to a billing group."""
    await billing_members.add_thing(authority, caller, *_names(caller.scope, request))


class RemoveThingFromBillingGroupRequest(Message, frozen=True, kw_only=True):
    billing_group_name: Annotated[RegistryNameText | None, BODY] = None
    billing_group_arn: Annotated[str | None, BODY] = None
    thing_name: Annotated[RegistryNameText | None, BODY] = None
    thing_arn: Annotated[str | None, BODY] = None


async def remove_thing_from_billing_group(
    authority: RegistrationAuthority, caller: Caller, request: RemoveThingFromBillingGroupRequest
) -> None:
    """Let a thing belong to no billing group."""
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


_THING_IN_BODY = in_body("thing", "thingName", "thingArn")
_GROUP_IN_BODY = in_body("billinggroup", "billingGroupName", "billingGroupArn")


def _thing_as_well(scope: Scope, request: RawRequest) -> tuple[str, ...]:
    return (_THING_IN_BODY(scope, request),)


def billing_member_operations(authority: RegistrationAuthority) -> tuple[Operation, ...]:
    """Return the operations of this module, working for the authority."""
    return (
        implemented(
            "AddThingToBillingGroup",
            partial(add_thing_to_billing_group, authority),
            AddThingToBillingGroupRequest,
            resource=_GROUP_IN_BODY,
            other_resources=_thing_as_well,
        ),
        implemented(
            "RemoveThingFromBillingGroup",
            partial(remove_thing_from_billing_group, authority),
            RemoveThingFromBillingGroupRequest,
            resource=_GROUP_IN_BODY,
            other_resources=_thing_as_well,
        ),
        implemented(
            "ListThingsInBillingGroup",
            partial(list_things_in_billing_group, authority),
            ListThingsInBillingGroupRequest,
            ListThingsInBillingGroupResponse,
            in_path("billinggroup", "billingGroupName"),
        ),
    )
