"""Owns the messages and operations that attach policies. Their rules are in `registration.policies.policy_attachments`.

The operations on principals are deprecated at AWS, but SDKs still call them.
"""

from typing import Annotated

from msgspec import field

from thingmint.api.policies.policies import PolicyEntry, PolicyNameText, policy_entry
from thingmint.api.policies.policy_targets import POLICY_HEADER, PRINCIPAL_HEADER
from thingmint.api.wire.listing import Listing
from thingmint.api.wire.messages import Marker, Message, PageSize
from thingmint.api.wire.reading.binding import BODY, HEADER, PATH, QUERY
from thingmint.core.caller import Caller
from thingmint.core.identifiers import parse_policy_name
from thingmint.core.policies.target import parse_policy_target, parse_principal
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.policies import policy_attachments


class AttachPolicyRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]
    target: Annotated[str, BODY]


async def attach_policy(authority: RegistrationAuthority, caller: Caller, request: AttachPolicyRequest) -> None:
    """Attach a policy to a target: a certificate, a thing group or a Cognito identity id.

    At most ten policies for each target; a repeated call changes nothing.
    """
    name, target = parse_policy_name(request.policy_name), parse_policy_target(caller.scope, request.target)
    await policy_attachments.attach(authority, caller, "AttachPolicy", name, target)


class DetachPolicyRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]
    target: Annotated[str, BODY]


async def detach_policy(authority: RegistrationAuthority, caller: Caller, request: DetachPolicyRequest) -> None:
    """Detach a policy from a target; a repeated call changes nothing."""
    name, target = parse_policy_name(request.policy_name), parse_policy_target(caller.scope, request.target)
    await policy_attachments.detach(authority, caller, "DetachPolicy", name, target)


class ListAttachedPoliciesRequest(Message, frozen=True, kw_only=True):
    target: Annotated[str, PATH]
    recursive: Annotated[bool | None, QUERY] = None
    marker: Annotated[Marker | None, QUERY] = None
    page_size: Annotated[PageSize | None, QUERY] = None


class ListAttachedPoliciesResponse(Message, frozen=True, kw_only=True):
    policies: list[PolicyEntry]
    next_marker: str | None = None


async def list_attached_policies(
    authority: RegistrationAuthority, caller: Caller, request: ListAttachedPoliciesRequest
) -> ListAttachedPoliciesResponse:
    """Answer with a page of the policies attached to a target, earliest first.

    ``recursive`` adds those of a certificate's things' groups, and those of the groups above a group.
    """
    target, recursive = parse_policy_target(caller.scope, request.target), bool(request.recursive)
    filters = (target.name, str(recursive))
    listing = Listing("ListAttachedPolicies", caller.scope, ascending=True, filters=filters)
    page_request = listing.page_request(request.page_size, request.marker)
    page = await policy_attachments.list_attached(authority, caller, target, page_request, inherited=recursive)
    return ListAttachedPoliciesResponse(
        policies=[policy_entry(summary) for summary in page.items], next_marker=listing.marker(page.next)
    )


class ListTargetsForPolicyRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]
    marker: Annotated[Marker | None, QUERY] = None
    page_size: Annotated[PageSize | None, QUERY] = None


class ListTargetsForPolicyResponse(Message, frozen=True, kw_only=True):
    targets: list[str]
    next_marker: str | None = None


async def list_targets_for_policy(
    authority: RegistrationAuthority, caller: Caller, request: ListTargetsForPolicyRequest
) -> ListTargetsForPolicyResponse:
    """Answer with a page of a policy's targets, earliest first."""
    name = parse_policy_name(request.policy_name)
    listing = Listing("ListTargetsForPolicy", caller.scope, ascending=True, filters=(name,))
    page_request = listing.page_request(request.page_size, request.marker)
    page = await policy_attachments.list_targets(authority, caller, name, page_request)
    return ListTargetsForPolicyResponse(
        targets=[target.name for target in page.items], next_marker=listing.marker(page.next)
    )


class AttachPrincipalPolicyRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]
    principal: Annotated[str, HEADER] = field(name=PRINCIPAL_HEADER)


async def attach_principal_policy(
    authority: RegistrationAuthority, caller: Caller, request: AttachPrincipalPolicyRequest
) -> None:
    """Attach a policy to a principal; deprecated at AWS."""
    name, principal = parse_policy_name(request.policy_name), parse_principal(caller.scope, request.principal)
    await policy_attachments.attach(authority, caller, "AttachPrincipalPolicy", name, principal)


class DetachPrincipalPolicyRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, PATH]
    principal: Annotated[str, HEADER] = field(name=PRINCIPAL_HEADER)


async def detach_principal_policy(
    authority: RegistrationAuthority, caller: Caller, request: DetachPrincipalPolicyRequest
) -> None:
    """Detach a policy from a principal; deprecated at AWS."""
    name, principal = parse_policy_name(request.policy_name), parse_principal(caller.scope, request.principal)
    await policy_attachments.detach(authority, caller, "DetachPrincipalPolicy", name, principal)


class ListPrincipalPoliciesRequest(Message, frozen=True, kw_only=True):
    principal: Annotated[str, HEADER] = field(name=PRINCIPAL_HEADER)
    marker: Annotated[Marker | None, QUERY] = None
    page_size: Annotated[PageSize | None, QUERY] = None
    ascending_order: Annotated[bool | None, QUERY] = field(default=None, name="isAscendingOrder")


class ListPrincipalPoliciesResponse(Message, frozen=True, kw_only=True):
    policies: list[PolicyEntry]
    next_marker: str | None = None


async def list_principal_policies(
    authority: RegistrationAuthority, caller: Caller, request: ListPrincipalPoliciesRequest
) -> ListPrincipalPoliciesResponse:
    """Answer with a page of a principal's policies, latest attachment first unless asked otherwise.

    Deprecated at AWS.
    """
    target, ascending = parse_policy_target(caller.scope, request.principal), bool(request.ascending_order)
    listing = Listing("ListPrincipalPolicies", caller.scope, ascending=ascending, filters=(target.name,))
    page_request = listing.page_request(request.page_size, request.marker)
    page = await policy_attachments.list_attached(authority, caller, target, page_request, inherited=False)
    return ListPrincipalPoliciesResponse(
        policies=[policy_entry(summary) for summary in page.items], next_marker=listing.marker(page.next)
    )


class ListPolicyPrincipalsRequest(Message, frozen=True, kw_only=True):
    policy_name: Annotated[PolicyNameText, HEADER] = field(name=POLICY_HEADER)
    marker: Annotated[Marker | None, QUERY] = None
    page_size: Annotated[PageSize | None, QUERY] = None
    ascending_order: Annotated[bool | None, QUERY] = field(default=None, name="isAscendingOrder")


class ListPolicyPrincipalsResponse(Message, frozen=True, kw_only=True):
    principals: list[str]
    next_marker: str | None = None


async def list_policy_principals(
    authority: RegistrationAuthority, caller: Caller, request: ListPolicyPrincipalsRequest
) -> ListPolicyPrincipalsResponse:
    """Answer with a page of a policy's targets, latest attachment first unless asked otherwise.

    Deprecated at AWS.
    """
    name, ascending = parse_policy_name(request.policy_name), bool(request.ascending_order)
    listing = Listing("ListPolicyPrincipals", caller.scope, ascending=ascending, filters=(name,))
    page_request = listing.page_request(request.page_size, request.marker)
    page = await policy_attachments.list_targets(authority, caller, name, page_request)
    return ListPolicyPrincipalsResponse(
        principals=[target.name for target in page.items], next_marker=listing.marker(page.next)
    )
