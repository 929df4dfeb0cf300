"""Owns the messages and operations of role aliases. Their rules are in `registration.registry.role_aliases`."""

from typing import Annotated, TypeAlias

from msgspec import field

from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Marker, Message, PageSize, Tag, Timestamp, tags_of
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.identifiers import parse_role_alias_name
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.registry import role_aliases

RoleAliasText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=128, pattern=r"[\w=,@-]+")]
RoleArnText: TypeAlias = Annotated[str, Constraint(min_length=20, max_length=2048)]
CredentialSeconds: TypeAlias = Annotated[int, Constraint(ge=900, le=43200)]


class CreateRoleAliasRequest(Message, frozen=True, kw_only=True):
    role_alias: Annotated[RoleAliasText, PATH]
    role_arn: Annotated[RoleArnText, BODY]
    credential_duration_seconds: Annotated[CredentialSeconds | None, BODY] = None
    tags: Annotated[list[Tag] | None, BODY] = None


class CreateRoleAliasResponse(Message, frozen=True, kw_only=True):
    role_alias: str
    role_alias_arn: str


async def create_role_alias(
    authority: RegistrationAuthority, caller: Caller, request: CreateRoleAliasRequest
) -> CreateRoleAliasResponse:
    """Answer with the ARN of a new role alias; an account has at most 100."""
    name, seconds = parse_role_alias_name(request.role_alias), request.credential_duration_seconds
    created = await role_aliases.create(authority, caller, name, request.role_arn, seconds, tags_of(request.tags))
    return CreateRoleAliasResponse(role_alias=created.name, role_alias_arn=created.arn)


class DescribeRoleAliasRequest(Message, frozen=True, kw_only=True):
    role_alias: Annotated[RoleAliasText, PATH]


class RoleAliasDescription(Message, frozen=True, kw_only=True):
    role_alias: str
    role_alias_arn: str
    role_arn: str
    owner: str
    credential_duration_seconds: int
    creation_date: Timestamp
    last_modified_date: Timestamp


class DescribeRoleAliasResponse(Message, frozen=True, kw_only=True):
    role_alias_description: RoleAliasDescription


async def describe_role_alias(
    authority: RegistrationAuthority, caller: Caller, request: DescribeRoleAliasRequest
) -> DescribeRoleAliasResponse:
    """Answer with everything that is known of a role alias."""
    found = await role_aliases.describe(authority, caller, parse_role_alias_name(request.role_alias))
    return DescribeRoleAliasResponse(
        role_alias_description=RoleAliasDescription(
            role_alias=found.name,
            role_alias_arn=found.arn,
            role_arn=found.role_arn,
            owner=found.scope.account,
            credential_duration_seconds=found.credential_seconds,
            creation_date=epoch_seconds(found.created_at),
            last_modified_date=epoch_seconds(found.modified_at),
        )
    )


class UpdateRoleAliasRequest(Message, frozen=True, kw_only=True):
    role_alias: Annotated[RoleAliasText, PATH]
    role_arn: Annotated[RoleArnText | None, BODY] = None
    credential_duration_seconds: Annotated[CredentialSeconds | None, BODY] = None


class UpdateRoleAliasResponse(Message, frozen=True, kw_only=True):
    role_alias: str
    role_alias_arn: str


async def update_role_alias(
    authority: RegistrationAuthority, caller: Caller, request: UpdateRoleAliasRequest
) -> UpdateRoleAliasResponse:
    """Give a role alias another role, or its credentials another duration."""
    name, seconds = parse_role_alias_name(request.role_alias), request.credential_duration_seconds
    updated = await role_aliases.update(authority, caller, name, request.role_arn, seconds)
    return UpdateRoleAliasResponse(role_alias=updated.name, role_alias_arn=updated.arn)


class DeleteRoleAliasRequest(Message, frozen=True, kw_only=True):
    role_alias: Annotated[RoleAliasText, PATH]


async def delete_role_alias(authority: RegistrationAuthority, caller: Caller, request: DeleteRoleAliasRequest) -> None:
    """Delete a role alias."""
    await role_aliases.delete(authority, caller, parse_role_alias_name(request.role_alias))


class ListRoleAliasesRequest(Message, frozen=True, kw_only=True):
    page_size: Annotated[PageSize | None, QUERY] = None
    marker: Annotated[Marker | None, QUERY] = None
    ascending_order: Annotated[bool | None, QUERY] = field(default=None, name="isAscendingOrder")


class ListRoleAliasesResponse(Message, frozen=True, kw_only=True):
    role_aliases: list[str]
    next_marker: str | None = None


async def list_role_aliases(
    authority: RegistrationAuthority, caller: Caller, request: ListRoleAliasesRequest
) -> ListRoleAliasesResponse:
    """Answer with a page of the account's role aliases, newest first unless asked otherwise."""
    listing = Listing("ListRoleAliases", caller.scope, ascending=bool(request.ascending_order))
    page_request = listing.page_request(request.page_size, request.marker)
    page = await role_aliases.list_role_aliases(authority, caller, page_request)
    return ListRoleAliasesResponse(
        role_aliases=[entry.name for entry in page.items], next_marker=listing.marker(page.next)
    )
