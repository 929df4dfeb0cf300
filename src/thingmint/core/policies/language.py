"""Owns policies and their decisions about requests. Independent of principals, operations and storage.

IAM and AWS IoT policies have one language: statements allow or deny actions on resources under conditions. A request
that no statement allows is denied, and a statement that denies overrides every statement that allows.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from hashlib import sha256

from thingmint.core.errors import MalformedPolicy
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.document import read_document
from thingmint.core.policies.statements import Effect, PolicyStatement, parse_statements
from thingmint.core.strict_json import Malformed, position


class DecisionEffect(Enum):
    """Whether a request is allowed, and the kind of denial."""

    ALLOWED = "allowed"
    EXPLICIT_DENY = "explicitDeny"
    IMPLICIT_DENY = "implicitDeny"


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that follows the grammar; two policies with the same text are equal.

    The text itself is not kept: most of it may be white space, and a compiled policy stays in memory for a long time.
    ``only_denies`` is true for a policy whose allowing statements are ignored.
    """

    digest: bytes
    statements: tuple[PolicyStatement, ...] = field(repr=False, compare=False)
    positions: tuple[str, ...] = field(repr=False, compare=False)
    weight: int = field(compare=False)
    condition_keys: frozenset[str] = field(repr=False, compare=False)
    """The condition keys on which a statement depends in any way, in lower case."""
    only_denies: bool = field(default=False, repr=False)

    def statement_position(self, index: int) -> str:
        """Return the line and column where a statement starts; indexes count from zero."""
        return self.positions[index]

    def denying(self) -> "Policy":
        """Return the policy without its allowing statements. The result may have no statements."""
        kept = [index for index, statement in enumerate(self.statements) if statement.effect is Effect.DENY]
        statements = tuple(self.statements[index] for index in kept)
        return replace(
            self,
            statements=statements,
            positions=tuple(self.positions[index] for index in kept),
            weight=weight_of_statements(statements),
            condition_keys=_keys_of(statements),
            only_denies=True,
        )

    def asks_for(self, prefix: str) -> bool:
        """Return whether a statement depends on a condition key with this prefix."""
        folded = prefix.lower()
        return any(key.startswith(folded) for key in self.condition_keys)


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision and the statement that decided. Indexes count from zero; None if no statement applied."""

    effect: DecisionEffect
    policy_index: int | None = None
    statement_index: int | None = None
    sid: str | None = None


# IAM's reference of policy elements, "Sid"; it may be empty.
_SID = re.compile(r"[A-Za-z0-9]*")
_IMPLICIT_DENY = Decision(DecisionEffect.IMPLICIT_DENY)


def parse_policy(text: str) -> Policy:
    """Return the policy; raise MalformedPolicy naming line, column and reason if the text is not one."""
    try:
        return compiled(text, parse_statements(read_document(text)))
    except Malformed as error:
        raise MalformedPolicy(f"{position(text, error.offset)}: {error.reason}") from error


def parse_new_policy(text: str) -> Policy:
    """Return a new policy; raise MalformedPolicy as `parse_policy` does, and for a Sid that IAM refuses."""
    policy = parse_policy(text)
    for index, statement in enumerate(policy.statements):
        if not _SID.fullmatch(statement.sid or ""):
            raise MalformedPolicy(
                f"{policy.statement_position(index)}: a Sid has only letters from A to Z and digits, "
                f"not {statement.sid!r}"
            )
    return policy


def compiled(text: str, statements: tuple[PolicyStatement, ...]) -> Policy:
    """Return the policy with this text and these parsed statements."""
    positions = tuple(position(text, statement.offset) for statement in statements)
    digest, weight = sha256(text.encode()).digest(), weight_of_statements(statements)
    return Policy(digest, statements, positions, weight, _keys_of(statements))


def _keys_of(statements: Sequence[PolicyStatement]) -> frozenset[str]:
    return frozenset[str]().union(*(statement.condition_keys() for statement in statements))


def weight_of_statements(statements: Sequence[PolicyStatement]) -> int:
    """Return the maximum cost of the statements; see `core.policies.budget`."""
    return sum(statement.weight for statement in statements)


def evaluate(
    policies: Sequence[Policy], action: str, resource: str, context: Mapping[str, tuple[str, ...]] | RequestContext
) -> Decision:
    """Return the decision about the action on the resource; ``context`` maps condition keys to values."""
    request = context if isinstance(context, RequestContext) else RequestContext(context)
    folded_action = action.lower()
    allowed: Decision | None = None
    for policy_index, policy in enumerate(policies):
        for statement_index, statement in enumerate(policy.statements):
            # A second Allow changes nothing, so only Deny statements still need matching.
            if allowed is not None and statement.effect is Effect.ALLOW:
                continue
            if not statement.applies(folded_action, resource, request):
                continue
            if statement.effect is Effect.DENY:
                return Decision(DecisionEffect.EXPLICIT_DENY, policy_index, statement_index, statement.sid)
            allowed = Decision(DecisionEffect.ALLOWED, policy_index, statement_index, statement.sid)
    return allowed or _IMPLICIT_DENY
