"""Owns TestAuthorization and its messages. The rules are in `registration.policies.device_authorization`."""

from collections.abc import Iterable
from typing import Annotated

from thingmint.api.policies.policies import PolicyEntry, PolicyNameText
from thingmint.api.wire.messages import Message
from thingmint.api.wire.reading.binding import BODY, QUERY
from thingmint.api.wire.reading.constraints import Constraint
from thingmint.core.caller import Caller
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import parse_policy_name
from thingmint.core.policies.simulation import ActionType, AuthDecision, AuthRequest, AuthResult, NamedPolicy
from thingmint.core.policies.target import parse_policy_target
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.policies.device_authorization import PolicyOverrides, simulated


class AuthInfo(Message, frozen=True, kw_only=True):
    action_type: ActionType | None = None
    resources: list[Annotated[str, Constraint(max_length=2048, pattern=r"[\s\S]*")]]


class TestAuthorizationRequest(Message, frozen=True, kw_only=True):
    principal: Annotated[str | None, BODY] = None
    cognito_identity_pool_id: Annotated[str | None, BODY] = None
    auth_infos: Annotated[list[AuthInfo], BODY, Constraint(min_length=1, max_length=10)]
    client_id: Annotated[str | None, QUERY] = None
    policy_names_to_add: Annotated[list[PolicyNameText] | None, BODY] = None
    policy_names_to_skip: Annotated[list[PolicyNameText] | None, BODY] = None


class AllowedEntry(Message, frozen=True, kw_only=True):
    policies: list[PolicyEntry]


class ImplicitDenyEntry(Message, frozen=True, kw_only=True):
    policies: list[PolicyEntry]


class ExplicitDenyEntry(Message, frozen=True, kw_only=True):
    policies: list[PolicyEntry]


class DeniedEntry(Message, frozen=True, kw_only=True):
    implicit_deny: ImplicitDenyEntry
    explicit_deny: ExplicitDenyEntry


class AuthResultEntry(Message, frozen=True, kw_only=True):
    auth_info: AuthInfo
    allowed: AllowedEntry
    denied: DeniedEntry
    auth_decision: AuthDecision
    missing_context_values: list[str]


class TestAuthorizationResponse(Message, frozen=True, kw_only=True):
    auth_results: list[AuthResultEntry]


async def test_authorization(
    authority: RegistrationAuthority, caller: Caller, request: TestAuthorizationRequest
) -> TestAuthorizationResponse:
    """Answer with the decision of a principal's policies on each request.

    The thing is the one that ``clientId`` connects as; ten policies may be added.
    """
    principal = None if request.principal is None else parse_policy_target(caller.scope, request.principal)
    overrides = PolicyOverrides(
        added=[parse_policy_name(name) for name in request.policy_names_to_add or ()],
        skipped=[parse_policy_name(name) for name in request.policy_names_to_skip or ()],
    )
    requests = [_auth_request(info) for info in request.auth_infos]
    results = await simulated(authority, caller.scope, principal, request.client_id, requests, overrides)
    return TestAuthorizationResponse(auth_results=[_entry(result) for result in results])


def _auth_request(info: AuthInfo) -> AuthRequest:
    if info.action_type is None:
        raise InvalidRequest("Each of authInfos has an actionType")
    return AuthRequest(info.action_type, tuple(info.resources))


def _entry(result: AuthResult) -> AuthResultEntry:
    return AuthResultEntry(
        auth_info=AuthInfo(action_type=result.request.action, resources=list(result.request.resources)),
        allowed=AllowedEntry(policies=_entries(result.allowing)),
        denied=DeniedEntry(
            implicit_deny=ImplicitDenyEntry(policies=_entries(result.implicitly_denying)),
            explicit_deny=ExplicitDenyEntry(policies=_entries(result.explicitly_denying)),
        ),
        auth_decision=result.decision,
        missing_context_values=list(result.missing_context_values),
    )


def _entries(policies: Iterable[NamedPolicy]) -> list[PolicyEntry]:
    return [PolicyEntry(policy_name=policy.name, policy_arn=policy.arn) for policy in policies]
