"""Owns the results of AWS IoT's TestAuthorization: how policies would decide, and which policy allows or denies.

Does not look up attachments: the caller passes the policies with their names, after adding and skipping some.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, TypeVar

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import PolicyName
from thingmint.core.policies.budget import ensure_weight_in_force, ensure_weight_of_test
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.language import Decision, DecisionEffect, Policy
from thingmint.core.policies.shared_subscriptions import resource_forms
from thingmint.core.policies.statements import Effect, PolicyStatement
from thingmint.core.wildcards import Predicate

T = TypeVar("T")

Simulation: TypeAlias = Generator[None, None, T]
"""Work in steps of at most about a millisecond each."""

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
    """The decision about one request."""

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
_SAYS = {Effect.ALLOW: DecisionEffect.ALLOWED, Effect.DENY: DecisionEffect.EXPLICIT_DENY}
_IMPLICIT_DENY = Decision(DecisionEffect.IMPLICIT_DENY)
# The decision about several resources is the strictest decision about one of them.
_WORST_FIRST = (DecisionEffect.EXPLICIT_DENY, DecisionEffect.IMPLICIT_DENY, DecisionEffect.ALLOWED)


@dataclass(frozen=True, slots=True)
class NamedPolicy:
    """A policy and its name and ARN in the registry."""

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
class SimulatedDecision:
    """The decision about one resource, and the policy and statement that decided, if there is one."""

    resource: str
    decision: AuthDecision
    policy: NamedPolicy | None = None
    statement_index: int | None = None
    sid: str | None = None
    position: str | None = None


@dataclass(frozen=True, slots=True)
class AuthResult:
    """The decision of the policies about one request.

    A policy without a statement about one of the resources is in ``implicitly_denying``, as AWS documents it.
    """

    request: AuthRequest
    decision: AuthDecision
    allowing: tuple[NamedPolicy, ...]
    implicitly_denying: tuple[NamedPolicy, ...]
    explicitly_denying: tuple[NamedPolicy, ...]
    missing_context_values: tuple[str, ...]
    verdicts: tuple[SimulatedDecision, ...]


def simulation(
    requests: Sequence[AuthRequest],
    policies: Sequence[NamedPolicy],
    context: RequestContext,
    with_client_id: Sequence[NamedPolicy] = (),
) -> Simulation[tuple[AuthResult, ...]]:
    """Return the decision about each request. Each step of the generator does a little of the work.

    ``with_client_id`` are policies that may be in force with a client ID: if one has a statement about the action, the
    result lists the client ID as a missing value. Raises InvalidRequest unless there are one to ten requests,
    LimitExceeded if they take too much work.
    """
    if not 1 <= len(requests) <= MAX_REQUESTS:
        raise InvalidRequest(f"authInfos has 1 to {MAX_REQUESTS} elements, not {len(requests)}")
    ensure_weight_in_force(each.policy for each in policies)
    resources = (form for request in requests for resource in request.resources for form in _forms(request, resource))
    ensure_weight_of_test((each.policy for each in policies), resources)
    bound = []
    for index, named in enumerate(policies):
        bound.append(_bound(index, named, context))
        yield
    results: tuple[AuthResult, ...] = ()
    for request in requests:
        results += ((yield from _result(request, policies, bound, _waits_for_client_id(request, with_client_id))),)
    return results


def _forms(request: AuthRequest, resource: str) -> tuple[str, ...]:
    return resource_forms(ACTIONS[request.action], resource)


def _waits_for_client_id(request: AuthRequest, policies: Sequence[NamedPolicy]) -> bool:
    folded = ACTIONS[request.action].lower()
    return any(statement.speaks_of(folded) for named in policies for statement in named.policy.statements)


@dataclass(frozen=True, slots=True)
class _SimulatedRule:
    """A statement evaluated in this context: whether its condition holds, and its resources."""

    statement: PolicyStatement
    holds: bool
    matches: Predicate
    missing_keys: frozenset[str]
    decision: Decision


@dataclass(slots=True)
class _SimulatedAnswer:
    """The decision about one resource so far: the first statement that denies and the first that allows."""

    by_effect: dict[Effect, Decision]

    def hear(self, rules: Sequence[_SimulatedRule], forms: Sequence[str]) -> set[Effect]:
        """Apply the rules of one policy and return their effects on the resource, which may have two forms."""
        spoken = set()
        for rule in rules:
            if rule.holds and any(rule.matches(form) for form in forms):
                spoken.add(rule.statement.effect)
                self.by_effect.setdefault(rule.statement.effect, rule.decision)
        return spoken

    @property
    def decision(self) -> Decision:
        return self.by_effect.get(Effect.DENY) or self.by_effect.get(Effect.ALLOW) or _IMPLICIT_DENY


def _bound(policy_index: int, named: NamedPolicy, context: RequestContext) -> tuple[_SimulatedRule, ...]:
    return tuple(
        _SimulatedRule(
            statement,
            statement.holds(context),
            statement.bound(context),
            statement.missing_keys(context),
            Decision(_SAYS[statement.effect], policy_index, statement_index, statement.sid),
        )
        for statement_index, statement in enumerate(named.policy.statements)
    )


def _result(
    request: AuthRequest,
    policies: Sequence[NamedPolicy],
    bound: Sequence[Sequence[_SimulatedRule]],
    waits_for_client_id: bool,
) -> Simulation[AuthResult]:
    action = ACTIONS[request.action]
    folded = action.lower()
    about: list[list[_SimulatedRule]] = []
    for rules in bound:
        about.append([rule for rule in rules if rule.statement.speaks_of(folded)])
        yield
    effects: list[set[DecisionEffect]] = [set() for _ in policies]
    decisions = []
    for resource in request.resources:
        answer, forms = _SimulatedAnswer({}), _forms(request, resource)
        for rules, said in zip(about, effects, strict=True):
            spoken = answer.hear(rules, forms)
            said.update({_SAYS[effect] for effect in spoken} or {DecisionEffect.IMPLICIT_DENY})
            yield
        decisions.append(answer.decision)
    worst = next(effect for effect in _WORST_FIRST if any(decision.effect is effect for decision in decisions))
    return AuthResult(
        request=request,
        decision=_DECISIONS[worst],
        allowing=_saying(policies, effects, DecisionEffect.ALLOWED),
        implicitly_denying=_saying(policies, effects, DecisionEffect.IMPLICIT_DENY),
        explicitly_denying=_saying(policies, effects, DecisionEffect.EXPLICIT_DENY),
        missing_context_values=_missing(about, waits_for_client_id),
        verdicts=tuple(
            _verdict(resource, decision, policies)
            for resource, decision in zip(request.resources, decisions, strict=True)
        ),
    )


def _saying(
    policies: Sequence[NamedPolicy], effects: Sequence[set[DecisionEffect]], effect: DecisionEffect
) -> tuple[NamedPolicy, ...]:
    return tuple(policy for policy, said in zip(policies, effects, strict=True) if effect in said)


def _missing(about: Sequence[Sequence[_SimulatedRule]], waits_for_client_id: bool) -> tuple[str, ...]:
    beginning = frozenset({_CLIENT_ID} if waits_for_client_id else ())
    return tuple(sorted(beginning.union(*(rule.missing_keys for rules in about for rule in rules))))


def _verdict(resource: str, decision: Decision, policies: Sequence[NamedPolicy]) -> SimulatedDecision:
    answer = _DECISIONS[decision.effect]
    if decision.policy_index is None or decision.statement_index is None:
        return SimulatedDecision(resource, answer)
    decider = policies[decision.policy_index]
    where = decider.policy.statement_position(decision.statement_index)
    return SimulatedDecision(resource, answer, decider, decision.statement_index, decision.sid, where)
