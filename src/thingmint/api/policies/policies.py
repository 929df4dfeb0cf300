"""Owns the messages and operations of policies and their versions, with rules in `registration.policies.policies`."""

from typing import Annotated, TypeAlias

from msgspec import field

from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Marker, Message, PageSize, Tag, Timestamp, tags_of
from thingmint.api.wire.reading.binding import BODY, PATH, QUERY
from thingmint.api.wire.reading.codec import epoch_seconds
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.identifiers import parse_policy_name
from thingmint.core.policies.stored_policy import PolicySummary, parse_version_id
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.policies import policies

PolicyNameText: TypeAlias = Annotated[str, Constraint(min_length=1, max_length=128, pattern=r"[\w+=,.@-]+")]
PolicyDocumentText: TypeAlias = Annotated[str, Constraint(min_length=0, max_length=404600, pattern=r"[\s\S]*")]
PolicyVersionIdText: TypeAlias = Annotated[str, Constraint(pattern="[0-9]+")]


class CreatePolicyRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]
    policy_document: Annotated[PolicyDocumentText, BODY]
    tags: Annotated[list[Tag] | None, BODY] = None


class CreatePolicyResponse(Message, frozen=True, kw_only=True):
    policy_name: str
    policy_arn: str
    policy_document: str
    policy_version_id: str


async def create_policy(
    authority: RegistrationAuthority, caller: Caller, request: CreatePolicyRequest
) -> CreatePolicyResponse:
    """Create a policy whose version 1 is the document.

    A document that cannot be parsed is refused with line, column and reason.
    """
    name = parse_policy_name(request.policy_name)
    tags = tags_of(request.tags)
    policy = await policies.create(authority, caller, name, request.policy_document, tags)
    return CreatePolicyResponse(
        policy_name=policy.name,
        policy_arn=policy.arn,
        policy_document=request.policy_document,
        policy_version_id=str(policy.default_version),
    )


class GetPolicyRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]


class GetPolicyResponse(Message, frozen=True, kw_only=True):
    policy_name: str
    policy_arn: str
    policy_document: str
    default_version_id: str
    creation_date: Timestamp
    last_modified_date: Timestamp
    generation_id: str


async def get_policy(authority: RegistrationAuthority, caller: Caller, request: GetPolicyRequest) -> GetPolicyResponse:
    """Answer with the policy and the document of its default version, as it was written."""
    policy, version = await policies.describe(authority, caller, parse_policy_name(request.policy_name))
    return GetPolicyResponse(
        policy_name=policy.name,
        policy_arn=policy.arn,
        policy_document=version.document,
        default_version_id=str(policy.default_version),
        creation_date=epoch_seconds(policy.created_at),
        last_modified_date=epoch_seconds(policy.modified_at),
        generation_id=policy.generation_id,
    )


class ListPoliciesRequest(Message, frozen=True, kw_only=True):
    marker: Annotated[Marker | None, QUERY] = None
    page_size: Annotated[PageSize | None, QUERY] = None
    ascending_order: Annotated[bool | None, QUERY] = field(default=None, name="isAscendingOrder")


class PolicyEntry(Message, frozen=True, kw_only=True):
    policy_name: str
    policy_arn: str


class ListPoliciesResponse(Message, frozen=True, kw_only=True):
    policies: list[PolicyEntry]
    next_marker: str | None = None


async def list_policies(
    authority: RegistrationAuthority, caller: Caller, request: ListPoliciesRequest
) -> ListPoliciesResponse:
    """Answer with a page of the account's policies, newest first unless asked otherwise."""
    listing = Listing("ListPolicies", caller.scope, ascending=bool(request.ascending_order))
    page_request = listing.page_request(request.page_size, request.marker)
    page = await policies.list_policies(authority, caller, page_request)
    return ListPoliciesResponse(
        policies=[policy_entry(summary) for summary in page.items], next_marker=listing.marker(page.next)
    )


def policy_entry(summary: PolicySummary) -> PolicyEntry:
    """Return the policy's entry in a list."""
    return PolicyEntry(policy_name=summary.name, policy_arn=summary.arn)


class DeletePolicyRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]


async def delete_policy(authority: RegistrationAuthority, caller: Caller, request: DeletePolicyRequest) -> None:
    """Delete a policy that is attached to nothing and has one version."""
    await policies.delete(authority, caller, parse_policy_name(request.policy_name))


class CreatePolicyVersionRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]
    policy_document: Annotated[PolicyDocumentText, BODY]
    set_as_default: Annotated[bool | None, QUERY] = None


class CreatePolicyVersionResponse(Message, frozen=True, kw_only=True):
    policy_arn: str
    policy_document: str
    policy_version_id: str
    is_default_version: bool


async def create_policy_version(
    authority: RegistrationAuthority, caller: Caller, request: CreatePolicyVersionRequest
) -> CreatePolicyVersionResponse:
    """Add a version to a policy; it has at most five, and their numbers are never used again.

    A document that cannot be parsed is refused with line, column and reason.
    """
    name, as_default = parse_policy_name(request.policy_name), bool(request.set_as_default)
    policy, version = await policies.create_version(
        authority, caller, name, request.policy_document, as_default=as_default
    )
    return CreatePolicyVersionResponse(
        policy_arn=policy.arn,
        policy_document=version.document,
        policy_version_id=str(version.version),
        is_default_version=as_default,
    )


class GetPolicyVersionRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]
    policy_version_id: Annotated[PolicyVersionIdText, PATH]


class GetPolicyVersionResponse(Message, frozen=True, kw_only=True):
    policy_arn: str
    policy_name: str
    policy_document: str
    policy_version_id: str
    is_default_version: bool
    creation_date: Timestamp
    last_modified_date: Timestamp
    generation_id: str


async def get_policy_version(
    authority: RegistrationAuthority, caller: Caller, request: GetPolicyVersionRequest
) -> GetPolicyVersionResponse:
    """Answer with one version of a policy, its document as it was written."""
    name = parse_policy_name(request.policy_name)
    number = parse_version_id(name, request.policy_version_id)
    policy, version = await policies.describe(authority, caller, name, number)
    return GetPolicyVersionResponse(
        policy_arn=policy.arn,
        policy_name=policy.name,
        policy_document=version.document,
        policy_version_id=str(version.version),
        is_default_version=version.version == policy.default_version,
        creation_date=epoch_seconds(version.created_at),
        last_modified_date=epoch_seconds(version.modified_at),
        generation_id=policy.generation_id,
    )


class ListPolicyVersionsRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]


class PolicyVersionEntry(Message, frozen=True, kw_only=True):
    version_id: str
    is_default_version: bool
    create_date: Timestamp


class ListPolicyVersionsResponse(Message, frozen=True, kw_only=True):
    policy_versions: list[PolicyVersionEntry]


async def list_policy_versions(
    authority: RegistrationAuthority, caller: Caller, request: ListPolicyVersionsRequest
) -> ListPolicyVersionsResponse:
    """Answer with all versions of a policy, newest first."""
    versions = await policies.list_versions(authority, caller, parse_policy_name(request.policy_name))
    return ListPolicyVersionsResponse(
        policy_versions=[
            PolicyVersionEntry(
                version_id=str(summary.version),
                is_default_version=summary.is_default,
                create_date=epoch_seconds(summary.created_at),
            )
            for summary in versions
        ]
    )


class DeletePolicyVersionRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]
    policy_version_id: Annotated[PolicyVersionIdText, PATH]


async def delete_policy_version(
    authority: RegistrationAuthority, caller: Caller, request: DeletePolicyVersionRequest
) -> None:
    """Delete a version that is not the default."""
    name = parse_policy_name(request.policy_name)
    await policies.delete_version(authority, caller, name, parse_version_id(name, request.policy_version_id))


class SetDefaultPolicyVersionRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]
    policy_version_id: Annotated[PolicyVersionIdText, PATH]


async def set_default_policy_version(
    authority: RegistrationAuthority, caller: Caller, request: SetDefaultPolicyVersionRequest
) -> None:
    """Make a version the default one, which is in force immediately."""
    name = parse_policy_name(request.policy_name)
    await policies.set_default_version(authority, caller, name, parse_version_id(name, request.policy_version_id))
