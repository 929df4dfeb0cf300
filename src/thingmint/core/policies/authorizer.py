"""Owns the decisions of a set of policies about many requests of one connection. Each equals that of ``evaluate``.

The resource of a shared subscription has two forms, and each is decided: see `core.policies.shared_subscriptions`.

The first request for an action computes what cannot change during the connection: it decides conditions, replaces
variables and sorts statements. The result is kept for the connections that asked last, because it takes kilobytes, and
most devices repeat requests, whose answers each connection remembers. A new attachment or a new policy version needs a
new authorizer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from thingmint.core.policies.budget import ensure_weight_in_force
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.language import Decision, DecisionEffect, Policy
from thingmint.core.policies.shared_subscriptions import resource_forms
from thingmint.core.policies.statements import Effect, PolicyStatement
from thingmint.core.wildcards import Predicate

# Most devices publish to few topics. The bound keeps thousands of other devices from filling the memory.
MAX_REMEMBERED = 64
# So many actions of connections; an idle fleet is far larger than the part of it that asks for something new.
_KEPT_RULES = 2048

_IMPLICIT_DENY = Decision(DecisionEffect.IMPLICIT_DENY)


@dataclass(frozen=True, slots=True)
class _Rule:
    matches: Predicate
    effect: Effect
    decision: Decision


@dataclass(frozen=True, slots=True)
class _Rules:
    """The rules for one action, in the order of policies and statements."""

    denying: tuple[_Rule, ...]
    allowing: tuple[_Rule, ...]

    def decide(self, forms: Sequence[str]) -> Decision:
        for rules in (self.denying, self.allowing):
            for rule in rules:
                for form in forms:
                    if rule.matches(form):
                        return rule.decision
        return _IMPLICIT_DENY


class Authorizer:
    """Decides which requests of a connection the policies allow."""

    __slots__ = ("_remembered", "context", "policies")

    def __init__(self, policies: Sequence[Policy], context: Mapping[str, tuple[str, ...]] | RequestContext) -> None:
        """Take the policies and the condition keys of a connection; raise LimitExceeded for too large policies."""
        ensure_weight_in_force(policies)
        self.policies = tuple(policies)
        self.context = context if isinstance(context, RequestContext) else RequestContext(context)
        self._remembered: dict[tuple[str, str], Decision] = {}

    def allows(self, action: str, resource: str) -> bool:
        """Return whether the connection may do the action on the resource."""
        # Asked for each message, and mostly remembered.
        decision = self._remembered.get((action, resource)) or self.decide(action, resource)
        return decision.effect is DecisionEffect.ALLOWED

    def decide(self, action: str, resource: str) -> Decision:
        """Return the decision about the action on the resource, and the statement that decided."""
        request = (action, resource)
        decision = self._remembered.get(request)
        if decision is None:
            decision = _rules_of(self, action).decide(resource_forms(action, resource))
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[request] = decision
        return decision

    def decide_once(self, action: str, resource: str) -> Decision:
        """Return the same decision without keeping anything, for a request that will not be repeated."""
        return self.rules_for(action).decide(resource_forms(action, resource))

    def rules_for(self, action: str) -> _Rules:
        """Work out what the policies say about an action; nothing of it is kept here."""
        folded = action.lower()
        about = [
            _Rule(statement.bound(self.context), statement.effect, _decision(policy_index, statement_index, statement))
            for policy_index, policy in enumerate(self.policies)
            for statement_index, statement in enumerate(policy.statements)
            if statement.speaks_of(folded) and statement.holds(self.context)
        ]
        return _Rules(
            denying=tuple(rule for rule in about if rule.effect is Effect.DENY),
            allowing=tuple(rule for rule in about if rule.effect is Effect.ALLOW),
        )


@lru_cache(_KEPT_RULES)
def _rules_of(authorizer: Authorizer, action: str) -> _Rules:
    return authorizer.rules_for(action)


def _decision(policy_index: int, statement_index: int, statement: PolicyStatement) -> Decision:
    effect = DecisionEffect.EXPLICIT_DENY if statement.effect is Effect.DENY else DecisionEffect.ALLOWED
    return Decision(effect, policy_index, statement_index, statement.sid)
