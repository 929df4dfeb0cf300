"""Owns what AWS IoT's TestAuthorization tells: how policies would decide, and which of them said what.

Refuses to know which policies are attached to whom; they come with their names, those to add and to skip resolved.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import PolicyName
from thingmint.core.policy import Decision, DecisionEffect, Policy, evaluate
from thingmint.core.policy_conditions import RequestContext
from thingmint.core.policy_statements import Statement
from thingmint.core.shared_subscriptions import decided, resource_forms

_CLIENT_ID = "iot:ClientId"

# AuthInfos in the service model.
MAX_REQUESTS = 10


class ActionType(StrEnum):
    """What a device may ask the message broker for."""

    PUBLISH = "PUBLISH"
    SUBSCRIBE = "SUBSCRIBE"
    RECEIVE = "RECEIVE"
    CONNECT = "CONNECT"


class AuthDecision(StrEnum):
    """What came out for a request."""

    ALLOWED = "ALLOWED"
    EXPLICIT_DENY = "EXPLICIT_DENY"
    IMPLICIT_DENY = "IMPLICIT_DENY"


ACTIONS: dict[ActionType, str] = {
    ActionType.PUBLISH: "iot:Publish",
    ActionType.SUBSCRIBE: "iot:Subscribe",
    ActionType.RECEIVE: "iot:Receive",
    ActionType.CONNECT: "iot:Connect",
}
_DECISIONS = {
    DecisionEffect.ALLOWED: AuthDecision.ALLOWED,
    DecisionEffect.EXPLICIT_DENY: AuthDecision.EXPLICIT_DENY,
    DecisionEffect.IMPLICIT_DENY: AuthDecision.IMPLICIT_DENY,
}
# An action on several resources is decided as its worst.
_WORST_FIRST = (DecisionEffect.EXPLICIT_DENY, DecisionEffect.IMPLICIT_DENY, DecisionEffect.ALLOWED)


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy and how the registry calls it."""

    name: PolicyName
    arn: str
    policy: Policy


@dataclass(frozen=True, slots=True)
class AuthRequest:
    """One action on one or more resources."""

    action: ActionType
    resources: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise InvalidRequest if there is no resource."""
        if not self.resources:
            raise InvalidRequest("an authInfo has at least one resource")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one resource was decided: by which statement of which policy, where one spoke, and where that stands."""

    resource: str
    decision: AuthDecision
    policy: NamedPolicy | None = None
    statement_index: int | None = None
    sid: str | None = None
    position: str | None = None


@dataclass(frozen=True, slots=True)
class AuthResult:
    """What the policies say about one request.

    A policy that is silent about one of the resources is listed under ``implicitly_denying``, as AWS documents it.
    """

    request: AuthRequest
    decision: AuthDecision
    allowing: tuple[NamedPolicy, ...]
    implicitly_denying: tuple[NamedPolicy, ...]
    explicitly_denying: tuple[NamedPolicy, ...]
    missing_context_values: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


def simulate(
    requests: Sequence[AuthRequest],
    policies: Sequence[NamedPolicy],
    context: RequestContext,
    with_client_id: Sequence[NamedPolicy] = (),
) -> tuple[AuthResult, ...]:
    """Return what the policies say about each request; raise InvalidRequest unless there are one to ten.

    ``with_client_id`` are policies that might be in force if the client ID were known: where they speak of the action,
    the client ID is a missing value.
    """
    if not 1 <= len(requests) <= MAX_REQUESTS:
        raise InvalidRequest(f"authInfos has 1 to {MAX_REQUESTS} elements, not {len(requests)}")
    return tuple(_result(request, policies, context, with_client_id) for request in requests)


def _result(
    request: AuthRequest,
    policies: Sequence[NamedPolicy],
    context: RequestContext,
    with_client_id: Sequence[NamedPolicy],
) -> AuthResult:
    action = ACTIONS[request.action]
    texts = [each.policy for each in policies]
    decisions = [
        decided(lambda form: evaluate(texts, action, form, context), action, resource) for resource in request.resources
    ]
    said = [(each, _effects(each.policy, action, request.resources, context)) for each in policies]
    worst = next(effect for effect in _WORST_FIRST if any(decision.effect is effect for decision in decisions))
    return AuthResult(
        request=request,
        decision=_DECISIONS[worst],
        allowing=_saying(said, DecisionEffect.ALLOWED),
        implicitly_denying=_saying(said, DecisionEffect.IMPLICIT_DENY),
        explicitly_denying=_saying(said, DecisionEffect.EXPLICIT_DENY),
        missing_context_values=_missing(action, policies, context, with_client_id),
        verdicts=tuple(
            _verdict(resource, decision, policies)
            for resource, decision in zip(request.resources, decisions, strict=True)
        ),
    )


def _effects(
    policy: Policy, action: str, resources: tuple[str, ...], context: RequestContext
) -> frozenset[DecisionEffect]:
    # Every statement is asked alone: a policy may allow and deny the same resource.
    effects = set()
    for resource in [form for each in resources for form in resource_forms(action, each)]:
        spoken = {
            evaluate([Policy(policy.text, (statement,))], action, resource, context).effect
            for statement in policy.statements
        }
        effects |= spoken - {DecisionEffect.IMPLICIT_DENY} or {DecisionEffect.IMPLICIT_DENY}
    return frozenset(effects)


def _saying(
    said: Sequence[tuple[NamedPolicy, frozenset[DecisionEffect]]], effect: DecisionEffect
) -> tuple[NamedPolicy, ...]:
    return tuple(policy for policy, effects in said if effect in effects)


def _missing(
    action: str, policies: Sequence[NamedPolicy], context: RequestContext, with_client_id: Sequence[NamedPolicy]
) -> tuple[str, ...]:
    asked = [statement.missing_keys(context) for statement in _about(action, policies)]
    needed = frozenset({_CLIENT_ID}) if _about(action, with_client_id) else frozenset[str]()
    return tuple(sorted(needed.union(*asked)))


def _about(action: str, policies: Sequence[NamedPolicy]) -> list[Statement]:
    folded = action.lower()
    statements = [statement for each in policies for statement in each.policy.statements]
    return [statement for statement in statements if statement.speaks_of(folded)]


def _verdict(resource: str, decision: Decision, policies: Sequence[NamedPolicy]) -> Verdict:
    answer = _DECISIONS[decision.effect]
    if decision.policy_index is None or decision.statement_index is None:
        return Verdict(resource, answer)
    decider = policies[decision.policy_index]
    where = decider.policy.statement_position(decision.statement_index)
    return Verdict(resource, answer, decider, decision.statement_index, decision.sid, where)
