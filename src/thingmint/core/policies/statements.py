"""Owns the statements of a policy: their grammar, and when a statement applies to a request."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from thingmint.core.error_text import in_words
from thingmint.core.policies.conditions import (
    Clause,
    Condition,
    NullClause,
    RequestContext,
    compile_clause,
    ensure_operator,
)
from thingmint.core.policies.patterns import (
    Token,
    fixed_tokens,
    nothing,
    parse_tokens,
    required_variables,
    resolved,
    variables_of,
    weight_of,
)
from thingmint.core.strict_json import Entry, JSONNumber, Malformed, Members, Node
from thingmint.core.wildcards import Predicate, anything, glob

# Variables and escapes exist since this version. In the older version they are plain text.
VERSION_WITH_VARIABLES = "2012-10-17"
_VERSIONS = ("2008-10-17", VERSION_WITH_VARIABLES)
_DOCUMENT_KEYS = frozenset({"Version", "Id", "Statement"})
_STATEMENT_KEYS = frozenset(
    {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal", "NotPrincipal"}
)
_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+")


class Effect(Enum):
    """Whether a statement allows or denies."""

    ALLOW = "Allow"
    DENY = "Deny"


@dataclass(frozen=True, slots=True)
class ResourcePattern:
    """A pattern of resources: compiled, or tokens if it depends on the request."""

    tokens: tuple[Token, ...]
    predicate: Predicate | None

    def matches(self, resource: str, context: RequestContext) -> bool | None:
        """Return whether the resource matches; None if the request has no value for a variable of the pattern."""
        predicate = self.bound(context)
        return None if predicate is None else predicate(resource)

    def bound(self, context: RequestContext) -> Predicate | None:
        """Return the pattern with its variables replaced; None if the request has no value for one of them."""
        if self.predicate is not None:
            return self.predicate
        tokens = resolved(self.tokens, context.variable)
        return None if tokens is None else glob(tokens)


@dataclass(frozen=True, slots=True)
class PolicyStatement:
    """One statement. ``other_actions`` and ``other_resources`` are true for NotAction and NotResource."""

    sid: str | None
    effect: Effect
    actions: tuple[Predicate, ...]
    other_actions: bool
    resources: tuple[ResourcePattern, ...]
    other_resources: bool
    condition: Condition
    offset: int

    def applies(self, folded_action: str, resource: str, context: RequestContext) -> bool:
        """Return whether the statement applies to this request. The action is in lower case."""
        return self.speaks_of(folded_action) and self._has_resource(resource, context) and self.holds(context)

    def speaks_of(self, folded_action: str) -> bool:
        """Return whether the statement is about the action, which is in lower case."""
        # A loop, because a generator takes longer, and every message and every request of a caller gets here.
        for predicate in self.actions:
            if predicate(folded_action):
                return not self.other_actions
        return self.other_actions

    @property
    def is_about_every_resource(self) -> bool:
        """Whether the statement applies to every resource, if it speaks of the action and its condition holds."""
        return not self.other_resources and any(pattern.predicate is anything for pattern in self.resources)

    def holds(self, context: RequestContext) -> bool:
        """Return whether the request satisfies the condition."""
        return not self.condition or all(clause.holds(context) for clause in self.condition)

    def bound(self, context: RequestContext) -> Predicate:
        """Return a test whether the statement is about a resource. It has the variables of this request replaced."""
        patterns = [pattern.bound(context) for pattern in self.resources]
        known = tuple(pattern for pattern in patterns if pattern is not None)
        if not self.other_resources:
            return lambda resource: any(pattern(resource) for pattern in known)
        if len(known) < len(patterns) and self.effect is Effect.ALLOW:
            return nothing
        return lambda resource: not any(pattern(resource) for pattern in known)

    def condition_keys(self) -> frozenset[str]:
        """Return the condition keys that the statement depends on in any way, in lower case."""
        keys = {variable.key for pattern in self.resources for variable in variables_of(pattern.tokens)}
        for clause in self.condition:
            keys |= clause.condition_keys()
        return frozenset(key.lower() for key in keys)

    @property
    def weight(self) -> int:
        """The maximum cost of applying the statement to one request; see `core.policies.budget`."""
        patterns = sum(weight_of(pattern.tokens) for pattern in self.resources)
        return patterns + weight_of(()) * len(self.actions) + sum(clause.weight for clause in self.condition)

    def missing_keys(self, context: RequestContext) -> frozenset[str]:
        """Return the condition keys that the statement needs and the request does not have."""
        keys = {variable.key for pattern in self.resources for variable in required_variables(pattern.tokens)}
        for clause in self.condition:
            keys |= clause.required_keys()
        return frozenset(key for key in keys if not context.has(key))

    def _has_resource(self, resource: str, context: RequestContext) -> bool:
        if not self.other_resources:
            return any(pattern.matches(resource, context) for pattern in self.resources)
        matches = [pattern.matches(resource, context) for pattern in self.resources]
        if None in matches and self.effect is Effect.ALLOW:
            # The excepted resource is unknown, so an Allow must not apply to every resource.
            return False
        return True not in matches


def parse_statements(document: Node, services: frozenset[str] | None = None) -> tuple[PolicyStatement, ...]:
    """Return the statements of a policy document; raise Malformed if it breaks the grammar.

    ``services`` are the prefixes that actions may have; None allows all prefixes.
    """
    elements = _members(document, "a policy", _DOCUMENT_KEYS)
    version = _VERSIONS[0]
    if "Version" in elements:
        version = _choice(elements["Version"].node, _VERSIONS, "Version")
    if "Id" in elements:
        _text(elements["Id"].node, "Id")
    if "Statement" not in elements:
        raise Malformed(document.offset, "the policy has no Statement")
    nodes = _one_or_more(elements["Statement"].node, "Statement")
    reader = _StatementReader(variables=version == VERSION_WITH_VARIABLES, services=services)
    return tuple(reader.statement(node) for node in nodes)


def version_of(document: Node) -> str | None:
    """Return the version of a policy document, None if it has none; raise Malformed if it is not a string."""
    elements = _members(document, "a policy", _DOCUMENT_KEYS)
    return _text(elements["Version"].node, "Version") if "Version" in elements else None


class _StatementReader:
    def __init__(self, *, variables: bool, services: frozenset[str] | None) -> None:
        self._variables = variables
        self._services = services
        self._sids: set[str] = set()

    def statement(self, node: Node) -> PolicyStatement:
        elements = _members(node, "a statement", _STATEMENT_KEYS)
        for principal in ("Principal", "NotPrincipal"):
            if principal in elements:
                raise Malformed(elements[principal].offset, "Policy document should not specify a principal.")
        if "Effect" not in elements:
            raise Malformed(node.offset, "the statement has no Effect")
        actions, other_actions = _one_of(elements, "Action", "NotAction", node)
        resources, other_resources = _one_of(elements, "Resource", "NotResource", node)
        return PolicyStatement(
            sid=self._sid(elements.get("Sid")),
            effect=Effect(_choice(elements["Effect"].node, tuple(effect.value for effect in Effect), "Effect")),
            actions=tuple(self._action(each) for each in _one_or_more(actions.node, actions.key)),
            other_actions=other_actions,
            resources=tuple(self._resource(each) for each in _one_or_more(resources.node, resources.key)),
            other_resources=other_resources,
            condition=tuple(self._condition(elements["Condition"].node)) if "Condition" in elements else (),
            offset=node.offset,
        )

    def _sid(self, entry: Entry | None) -> str | None:
        if entry is None:
            return None
        sid = _text(entry.node, "Sid")
        if sid and sid in self._sids:
            raise Malformed(entry.node.offset, f"the Sid {sid!r} appears twice")
        self._sids.add(sid)
        return sid

    def _action(self, node: Node) -> Predicate:
        text = _text(node, "an action")
        if not _ACTION.fullmatch(text):
            raise Malformed(node.offset, f'an action is formed like iot:DescribeCertificate, or "*", not {text!r}')
        service, colon, _ = text.lower().partition(":")
        if colon and self._services is not None and service not in self._services:
            known = ", ".join(sorted(self._services))
            raise Malformed(node.offset, f"an action of this policy is one of {known}, not of {service!r}")
        fixed = fixed_tokens(parse_tokens(text.lower(), wildcards=True, variables=False))
        assert fixed is not None, "without variables every token is fixed"
        return glob(fixed)

    def _resource(self, node: Node) -> ResourcePattern:
        text = _text(node, "a resource")
        if text != "*" and not text.startswith("arn:"):
            raise Malformed(node.offset, f'a resource is an ARN or "*", not {text!r}')
        with _positioned(node.offset):
            tokens = parse_tokens(text, wildcards=True, variables=self._variables)
        fixed = fixed_tokens(tokens)
        return ResourcePattern(tokens, None if fixed is None else glob(fixed))

    def _condition(self, node: Node) -> Iterator[Clause | NullClause]:
        for named in _members(node, "a Condition").values():
            with _positioned(named.offset):
                ensure_operator(named.key)
            for entry in _members(named.node, f"the operator {named.key!r}").values():
                if ":" not in entry.key:
                    raise Malformed(entry.offset, f"a condition key is formed like aws:SourceIp, not {entry.key!r}")
                values = tuple(_condition_value(value) for value in _each(entry.node))
                with _positioned(entry.node.offset):
                    yield compile_clause(named.key, entry.key, values, variables=self._variables)


@contextmanager
def _positioned(offset: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise Malformed(offset, in_words(error)) from error


def _members(node: Node, what: str, known: frozenset[str] | None = None) -> dict[str, Entry]:
    if not isinstance(node.value, Members):
        raise Malformed(node.offset, f"{what} must be an object")
    for entry in node.value.entries:
        if known is not None and entry.key not in known:
            raise Malformed(entry.offset, f"{what} has no element {entry.key!r}")
    return {entry.key: entry for entry in node.value.entries}


def _one_of(elements: dict[str, Entry], plain: str, negated: str, statement: Node) -> tuple[Entry, bool]:
    present = [name for name in (plain, negated) if name in elements]
    if len(present) != 1:
        raise Malformed(statement.offset, f"the statement must have one of {plain} and {negated}")
    return elements[present[0]], present[0] == negated


def _each(node: Node) -> tuple[Node, ...]:
    return node.value if isinstance(node.value, tuple) else (node,)


def _one_or_more(node: Node, what: str) -> tuple[Node, ...]:
    nodes = _each(node)
    if not nodes:
        raise Malformed(node.offset, f"{what} must not be empty")
    return nodes


def _text(node: Node, what: str) -> str:
    if not isinstance(node.value, str):
        raise Malformed(node.offset, f"{what} must be a string")
    return node.value


def _choice(node: Node, choices: tuple[str, ...], what: str) -> str:
    text = _text(node, what)
    if text not in choices:
        raise Malformed(node.offset, f"{what} is {' or '.join(choices)}, not {text!r}")
    return text


def _condition_value(node: Node) -> str:
    match node.value:
        case str() as text:
            return text
        case JSONNumber(text):
            return text
        case bool() as truth:
            return "true" if truth else "false"
        case _:
            raise Malformed(node.offset, "a condition value must be a string, a number or a boolean")
