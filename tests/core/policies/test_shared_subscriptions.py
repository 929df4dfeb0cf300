"""How policies are asked about shared subscriptions: both forms of the resource, by the gateway and in simulations."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.registration.policies import Json, document, simulate, statement

from thingmint.core.identifiers import PolicyName
from thingmint.core.policies.authorizer import Authorizer
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.language import DecisionEffect, Policy, evaluate, parse_policy
from thingmint.core.policies.shared_subscriptions import resource_forms
from thingmint.core.policies.simulation import ActionType, AuthDecision, AuthRequest, NamedPolicy

ARN = "arn:aws:iot:us-east-1:123456789012:"
SUBSCRIBE, RECEIVE = "iot:Subscribe", "iot:Receive"
SPOKEN = ("*", "topicfilter/a/*", "topicfilter/$share/*", "topicfilter/$share/h/*", "topicfilter/b")
PLAIN, SHARED, WILD = "topicfilter/a/b", "topicfilter/$share/g/a/b", "topicfilter/$share/*/a/b"


@pytest.mark.parametrize(
    ("action", "resource", "plain"),
    [
        (SUBSCRIBE, "topicfilter/$share/g/a/b", "topicfilter/a/b"),
        (SUBSCRIBE, ARN + "topicfilter/$share/g/+/#", ARN + "topicfilter/+/#"),
        ("IOT:subscribe", "topicfilter/$share/g/a", "topicfilter/a"),
        (SUBSCRIBE, "topicfilter/$share/g//a", "topicfilter//a"),
        (SUBSCRIBE, "topicfilter/$share/g/$share/h/a", "topicfilter/$share/h/a"),
        (RECEIVE, ARN + "topic/$share/g/a\nb", ARN + "topic/a\nb"),
    ],
)
def test_a_shared_subscription_has_two_forms(action: str, resource: str, plain: str) -> None:
    assert resource_forms(action, resource) == (resource, plain)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        (SUBSCRIBE, "topicfilter/a/b"),
        (SUBSCRIBE, "topicfilter/$share/g"),
        (SUBSCRIBE, "topicfilter/$share/g/"),
        (SUBSCRIBE, "topicfilter/$share//a"),
        (SUBSCRIBE, "topicfilter/a/$share/g/b"),
        (SUBSCRIBE, "topic/$share/g/a"),
        (RECEIVE, "topicfilter/$share/g/a"),
        ("iot:Publish", "topic/$share/g/a"),
        ("iot:Connect", "client/$share/g/a"),
        (SUBSCRIBE, ARN + "client/topicfilter/$share/g/a"),
    ],
)
def test_everything_else_has_one_form(action: str, resource: str) -> None:
    assert resource_forms(action, resource) == (resource,)


def deny(resource: str) -> dict[str, Json]:
    return statement(Effect="Deny", Resource=ARN + resource)


def allow(resource: str) -> dict[str, Json]:
    return statement(Resource=ARN + resource)


DECISIONS = [
    ([allow(PLAIN)], AuthDecision.ALLOWED),
    ([allow(SHARED)], AuthDecision.ALLOWED),
    ([allow(WILD)], AuthDecision.ALLOWED),
    ([allow("topicfilter/$share/other/a/b")], AuthDecision.IMPLICIT_DENY),
    ([allow("topicfilter/a/c")], AuthDecision.IMPLICIT_DENY),
    ([allow(SHARED), deny(PLAIN)], AuthDecision.EXPLICIT_DENY),
    ([allow(PLAIN), deny(SHARED)], AuthDecision.EXPLICIT_DENY),
    ([allow("*"), deny("topicfilter/$share/*")], AuthDecision.EXPLICIT_DENY),
    ([allow("*"), deny("topicfilter/$share/other/*")], AuthDecision.ALLOWED),
    ([allow(SHARED), allow(PLAIN)], AuthDecision.ALLOWED),
]


@pytest.mark.parametrize("receives", [False, True])
@pytest.mark.parametrize(("statements", "expected"), DECISIONS)
def test_a_deny_of_either_form_refuses_and_an_allow_of_either_is_enough(
    statements: list[dict[str, Json]], expected: AuthDecision, receives: bool
) -> None:
    text = document(*statements)
    action, resource, kind = SUBSCRIBE, ARN + SHARED, ActionType.SUBSCRIBE
    if receives:
        text, resource = (each.replace("topicfilter/", "topic/") for each in (text, resource))
        action, kind = RECEIVE, ActionType.RECEIVE
    policy = parse_policy(text)

    (result,) = simulate([AuthRequest(kind, (resource,))], [named(policy)], RequestContext({}))

    assert result.decision is expected
    assert bool(result.explicitly_denying) is (expected is AuthDecision.EXPLICIT_DENY)
    by_gateway = Authorizer([policy], {}).decide(action, resource)
    assert AuthDecision[by_gateway.effect.name] is expected


def test_the_gateway_names_the_same_statement_as_a_simulation() -> None:
    for statements in ([allow(PLAIN), allow(SHARED)], [allow("*"), deny(PLAIN), deny(SHARED)]):
        policy = parse_policy(document(*statements))
        (result,) = simulate([AuthRequest(ActionType.SUBSCRIBE, (ARN + SHARED,))], [named(policy)], RequestContext({}))

        decision = Authorizer([policy], {}).decide(SUBSCRIBE, ARN + SHARED)

        assert decision.statement_index == result.verdicts[0].statement_index


@given(st.lists(st.sampled_from([allow, deny]).flatmap(lambda say: st.sampled_from(SPOKEN).map(say)), max_size=4))
def test_the_forms_are_joined_as_the_decisions_about_each_of_them(statements: list[dict[str, Json]]) -> None:
    policy = parse_policy(document(*statements, statement(Action="iot:Connect")))
    effects = {evaluate([policy], SUBSCRIBE, form, {}).effect for form in (ARN + SHARED, ARN + PLAIN)}

    effect = Authorizer([policy], {}).decide(SUBSCRIBE, ARN + SHARED).effect

    order = (DecisionEffect.EXPLICIT_DENY, DecisionEffect.ALLOWED, DecisionEffect.IMPLICIT_DENY)
    assert effect is next(each for each in order if each in effects)


def named(policy: Policy) -> NamedPolicy:
    return NamedPolicy(PolicyName("own"), ARN + "policy/own", policy)
