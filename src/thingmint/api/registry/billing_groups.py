"""Owns the messages and operations of billing groups. Their rules are in `registration.registry.billing_groups`."""

from typing import Annotated

from thingmint.api.registry.registry_messages import (
    DescriptionText,
    GroupNameAndArn,
    RegistryNameText,
)
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Message, PageSize, Tag, Timestamp, tags_of
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.core.caller import Caller
from thingmint.core.identifiers import billing_group_arn, parse_billing_group_name
from thingmint.core.registry.thing_group import GroupUpdate
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.registry import billing_groups


class BillingGroupProperties(Message, frozen=True, kw_only=True):
    billing_group_description: DescriptionText | None = None


class CreateBillingGroupRequest(Message, frozen=True, kw_only=True):
    billing_group_name: Annotated[RegistryNameText, PATH]
    billing_group_properties: Annotated[BillingGroupProperties | None, BODY] = None
    tags: Annotated[list[Tag] | None, BODY] = None


class CreateBillingGroupResponse(Message, frozen=True, kw_only=True):
    billing_group_name: str
    billing_group_arn: str
    billing_group_id: str


async def create_billing_group(
    authority: RegistrationAuthority, caller: Caller, request: CreateBillingGroupRequest
) -> CreateBillingGroupResponse:
    """Create a billing group, or answer as before if one was created with the same request."""
    properties = request.billing_group_properties or BillingGroupProperties()
    group = await billing_groups.create(
        authority,
        caller,
        parse_billing_group_name(request.billing_group_name),
        properties.billing_group_description or "",
        tags_of(request.tags),
    )
    return CreateBillingGroupResponse(
        billing_group_name=group.name, billing_group_arn=group.arn, billing_group_id=group.group_id
    )


class DescribeBillingGroupRequest(Message, frozen=True, kw_only=True):
    billing_group_name: Annotated[RegistryNameText, PATH]


class BillingGroupMetadata(Message, frozen=True, kw_only=True):
    creation_date: Timestamp


class DescribeBillingGroupResponse(Message, frozen=True, kw_only=True):
    billing_group_name: str
    billing_group_id: str
    billing_group_arn: str
    version: int
    billing_group_properties: BillingGroupProperties
    billing_group_metadata: BillingGroupMetadata


async def describe_billing_group(
    authority: RegistrationAuthority, caller: Caller, request: DescribeBillingGroupRequest
) -> DescribeBillingGroupResponse:
    """Answer with everything that is known of a billing group."""
    group = await billing_groups.describe(authority, caller, parse_billing_group_name(request.billing_group_name))
    return DescribeBillingGroupResponse(
        billing_group_name=group.name,
        billing_group_id=group.group_id,
        billing_group_arn=group.arn,
        version=group.version,
        billing_group_properties=BillingGroupProperties(billing_group_description=group.description or None),
        billing_group_metadata=BillingGroupMetadata(creation_date=epoch_seconds(group.created_at)),
    )


class UpdateBillingGroupRequest(Message, frozen=True, kw_only=True):
    billing_group_name: Annotated[RegistryNameText, PATH]
    billing_group_properties: Annotated[BillingGroupProperties, BODY]
    expected_version: Annotated[int | None, BODY] = None


class UpdateBillingGroupResponse(Message, frozen=True, kw_only=True):
    version: int


async def update_billing_group(
    authority: RegistrationAuthority, caller: Caller, request: UpdateBillingGroupRequest
) -> UpdateBillingGroupResponse:
    """Set the description of a billing group; remove it if the request has none."""
    name = parse_billing_group_name(request.billing_group_name)
    # Terraform and CloudFormation send the complete properties, so an absent description removes the present one.
    description = request.billing_group_properties.billing_group_description or ""
    wanted = GroupUpdate(description, expected_version=request.expected_version)
    group = await billing_groups.update(authority, caller, name, wanted)
    return UpdateBillingGroupResponse(version=group.version)


class DeleteBillingGroupRequest(Message, frozen=True, kw_only=True):
    billing_group_name: Annotated[RegistryNameText, PATH]
    expected_version: Annotated[int | None, QUERY] = None


async def delete_billing_group(
    authority: RegistrationAuthority, caller: Caller, request: DeleteBillingGroupRequest
) -> None:
    """Delete a billing group, if there is one."""
    name = parse_billing_group_name(request.billing_group_name)
    await billing_groups.delete(authority, caller, name, request.expected_version)


class ListBillingGroupsRequest(Message, frozen=True, kw_only=True):
    next_token: Annotated[str | None, QUERY] = None
    max_results: Annotated[PageSize | None, QUERY] = None
    name_prefix_filter: Annotated[RegistryNameText | None, QUERY] = None


class ListBillingGroupsResponse(Message, frozen=True, kw_only=True):
    billing_groups: list[GroupNameAndArn]
    next_token: str | None = None


async def list_billing_groups(
    authority: RegistrationAuthority, caller: Caller, request: ListBillingGroupsRequest
) -> ListBillingGroupsResponse:
    """Answer with a page of the account's billing groups, in the order of their names."""
    prefix = request.name_prefix_filter or ""
    listing = Listing("ListBillingGroups", caller.scope, ascending=True, filters=(prefix,))
    page_request = listing.page_request(request.max_results, request.next_token)
    page = await billing_groups.list_billing_groups(authority, caller, prefix, page_request)
    return ListBillingGroupsResponse(
        billing_groups=[
            GroupNameAndArn(group_name=name, group_arn=billing_group_arn(caller.scope, name)) for name in page.items
        ],
        next_token=listing.marker(page.next),
    )
