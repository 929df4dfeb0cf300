"""What holds for all policies and all texts."""

import json
import random
from contextlib import suppress
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.machine.soak import examples
from tests.support.registration.policies import Json, document, simulate, statement

from thingmint.core.errors import MalformedPolicy
from thingmint.core.identifiers import PolicyName
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.language import DecisionEffect, Policy, evaluate, parse_policy
from thingmint.core.policies.simulation import ActionType, AuthRequest, NamedPolicy
from thingmint.core.wildcards import Wildcard, glob

ACTIONS = ["iot:DescribeCertificate", "iot:DeleteCertificate", "iot:ListCertificates"]
RESOURCES = ["*", "arn:aws:iot:r:1:cert/aa", "arn:aws:iot:r:1:cert/ab", "arn:aws:iot:r:1:thing/ada"]
PATTERNS = st.sampled_from([*RESOURCES, "arn:aws:iot:*", "arn:*/a?", "arn:*:thing/${aws:username}"])
CONDITIONS: st.SearchStrategy[Json] = st.sampled_from(
    [
        None,
        {"StringEquals": {"aws:username": "ada"}},
        {"StringNotLike": {"aws:username": "a*"}},
        {"Null": {"aws:username": "true"}},
        {"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}},
        {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
    ]
)
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "aws:username": st.sampled_from([("ada",), ("bob",)]),
        "aws:TagKeys": st.lists(st.sampled_from("abc"), max_size=3).map(tuple),
        "aws:SourceIp": st.sampled_from([("10.0.0.1",), ("::1",), ("?",)]),
    },
)


@st.composite
def statements(draw: st.DrawFn, effects: tuple[str, ...] = ("Allow", "Deny")) -> dict[str, Json]:
    action = draw(st.sampled_from(["Action", "NotAction"]))
    resource = draw(st.sampled_from(["Resource", "NotResource"]))
    elements: dict[str, Json] = {"Action": None, "Resource": None, "Condition": draw(CONDITIONS)}
    elements["Effect"] = draw(st.sampled_from(effects))
    elements[action] = draw(st.sampled_from([*ACTIONS, "*", "iot:De*", "iot:*s"]))
    patterns: Json = [*draw(st.lists(PATTERNS, min_size=1, max_size=2))]
    elements[resource] = patterns
    return statement(**elements)


POLICY = st.lists(statements(), min_size=1, max_size=5)
REQUEST = st.tuples(st.sampled_from(ACTIONS), st.sampled_from(RESOURCES), CONTEXTS)
Request = tuple[str, str, dict[str, tuple[str, ...]]]


def effect(policy: list[dict[str, Json]], request: Request) -> DecisionEffect:
    return evaluate([parse_policy(document(*policy))], *request).effect


@given(POLICY, statements(("Allow",)), REQUEST)
def test_another_allow_never_takes_a_permission(
    policy: list[dict[str, Json]], allow: dict[str, Json], request: Request
) -> None:
    if effect(policy, request) is DecisionEffect.ALLOWED:
        assert effect([*policy, allow], request) is DecisionEffect.ALLOWED


@given(POLICY, statements(("Deny",)), REQUEST)
def test_deny_that_applies_always_wins(policy: list[dict[str, Json]], deny: dict[str, Json], request: Request) -> None:
    applies = effect([deny], request) is DecisionEffect.EXPLICIT_DENY
    both = effect([*policy, deny], request)
    assert both is (DecisionEffect.EXPLICIT_DENY if applies else effect(policy, request))


@given(POLICY, REQUEST, st.randoms(use_true_random=False))
def test_order_of_statements_and_policies_never_matters(
    policy: list[dict[str, Json]], request: Request, order: random.Random
) -> None:
    shuffled = order.sample(policy, len(policy))
    assert effect(policy, request) is effect(shuffled, request)
    apart = [parse_policy(document(each)) for each in shuffled]
    assert effect(policy, request) is evaluate(apart, *request).effect


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from([*ACTIONS, *RESOURCES, "Allow"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["Version", "Statement", "Effect", "Action", "Resource", "Condition", "Sid", "StringLike", "a:b"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(st.sampled_from('{}[]":,\\ \n0-1.eEtruefalsn$*'), max_size=60),
    JSON_VALUES.map(json.dumps),
    st.dictionaries(st.sampled_from(["Effect", "Action", "Resource", "Condition", "Sid"]), JSON_VALUES).map(
        lambda elements: json.dumps({"Version": "2012-10-17", "Statement": statement(**elements)})
    ),
)


@given(TEXTS, st.text(max_size=10), st.text(max_size=10))
@settings(max_examples=examples(100, 1500))
def test_any_text_is_a_policy_or_malformed(text: str, action: str, resource: str) -> None:
    with suppress(MalformedPolicy):
        evaluate([parse_policy(text)], action, resource, {"aws:username": (action,)})


TOKENS = st.lists(st.sampled_from(["a", "b", "ab", Wildcard.ANY_RUN, Wildcard.ANY_CHARACTER]), max_size=8)


def simply_matches(tokens: list[str | Wildcard], text: str) -> bool:
    """The definition of wildcards, by backtracking."""
    if not tokens:
        return not text
    head, tail = tokens[0], tokens[1:]
    if head is Wildcard.ANY_RUN:
        return any(simply_matches(tail, text[skipped:]) for skipped in range(len(text) + 1))
    if head is Wildcard.ANY_CHARACTER:
        return bool(text) and simply_matches(tail, text[1:])
    return text.startswith(str(head)) and simply_matches(tail, text[len(str(head)) :])


@given(TOKENS, st.text(st.sampled_from("abc"), max_size=10))
@settings(max_examples=examples(100, 2000))
def test_wildcards_match_as_they_are_defined(tokens: list[str | Wildcard], text: str) -> None:
    assert glob(tuple(tokens))(text) is simply_matches(tokens, text)


@given(st.lists(POLICY, max_size=3), st.lists(REQUEST, min_size=1, max_size=3))
def test_a_test_says_what_the_policies_decide(policies: list[list[dict[str, Json]]], requests: list[Request]) -> None:
    parsed = [parse_policy(document(*policy).replace("iot:De", "iot:P")) for policy in policies]
    named = [NamedPolicy(PolicyName(f"p{index}"), f"p{index}", each) for index, each in enumerate(parsed)]
    context = RequestContext(requests[0][2])
    resources = tuple(resource for _, resource, _ in requests)
    (result,) = simulate([AuthRequest(ActionType.PUBLISH, resources)], named, context)
    decisions = [evaluate(parsed, "iot:Publish", resource, context) for resource in resources]
    assert [verdict.decision.value for verdict in result.verdicts] == [each.effect.name for each in decisions]
    assert [verdict.statement_index for verdict in result.verdicts] == [each.statement_index for each in decisions]
    for policy in named:
        alone = {effect_of_each(policy.policy, resource, context) for resource in resources}
        spoken = frozenset().union(*alone)
        assert (policy in result.allowing) is (DecisionEffect.ALLOWED in spoken)
        assert (policy in result.explicitly_denying) is (DecisionEffect.EXPLICIT_DENY in spoken)
        assert (policy in result.implicitly_denying) is (frozenset() in alone)


def effect_of_each(policy: Policy, resource: str, context: RequestContext) -> frozenset[DecisionEffect]:
    said = {
        evaluate([replace(policy, statements=(each,))], "iot:Publish", resource, context).effect
        for each in policy.statements
    }
    return frozenset(said - {DecisionEffect.IMPLICIT_DENY})
