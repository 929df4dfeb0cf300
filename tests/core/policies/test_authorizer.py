"""An authorizer answers as evaluation does, statement by statement, and forgets in time."""

from hypothesis import given
from hypothesis import strategies as st
from tests.core.policies.test_policy_properties import ACTIONS, CONTEXTS, POLICY, RESOURCES
from tests.support.registration.policies import Json, document, statement

from thingmint.core.policies.authorizer import MAX_REMEMBERED, Authorizer
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.policies.language import Decision, DecisionEffect, evaluate, parse_policy

ARN = "arn:aws:iot:us-east-1:123456789012:"


def authorizer(*statements: dict[str, Json], **context: tuple[str, ...]) -> Authorizer:
    return Authorizer(
        [parse_iot_policy(document(*statements))], {f"iot:{key}": value for key, value in context.items()}
    )


def test_nothing_is_allowed_without_a_policy() -> None:
    assert Authorizer([], {}).decide("iot:Publish", "*") == Decision(DecisionEffect.IMPLICIT_DENY)
    assert not Authorizer([], {}).allows("iot:Publish", "*")


def test_what_is_allowed_stays_allowed_and_denials_win() -> None:
    device = authorizer(
        statement(Action="iot:Publish", Resource=f"{ARN}topic/${{iot:ClientId}}/*", Sid="Own"),
        statement(Effect="Deny", Action="iot:*", Resource=f"{ARN}topic/lamp/secret", Sid="Secret"),
        statement(Effect="Deny", Action="iot:Publish", Condition={"StringEquals": {"iot:ClientId": "other"}}),
        ClientId=("lamp",),
    )
    for _ in range(2):
        assert device.allows("iot:Publish", f"{ARN}topic/lamp/a")
        assert not device.allows("iot:Publish", f"{ARN}topic/other/a")
        assert not device.allows("iot:Subscribe", f"{ARN}topic/lamp/a")
        secret = device.decide("IOT:publish", f"{ARN}topic/lamp/secret")
        assert secret == Decision(DecisionEffect.EXPLICIT_DENY, 0, 1, "Secret")


def test_unresolved_exception_does_not_widen_an_allow() -> None:
    unknown = f"{ARN}topic/${{iot:ClientId}}"
    assert not authorizer(statement(Resource=None, NotResource=unknown)).allows("iot:Publish", f"{ARN}topic/a")
    denying = authorizer(statement(), statement(Effect="Deny", Resource=None, NotResource=unknown))
    assert not denying.allows("iot:Publish", f"{ARN}topic/a")


def test_requests_without_end_do_not_fill_the_memory() -> None:
    device = authorizer(statement(Action="iot:Publish", Resource=f"{ARN}topic/*"))
    for number in range(3 * MAX_REMEMBERED):
        assert device.allows("iot:Publish", f"{ARN}topic/{number}")
        assert len(device._remembered) <= MAX_REMEMBERED


@given(st.lists(POLICY, max_size=3), st.sampled_from(ACTIONS), st.sampled_from(RESOURCES), CONTEXTS, st.booleans())
def test_authorizer_agrees_with_evaluation(
    policies: list[list[dict[str, Json]]],
    action: str,
    resource: str,
    context: dict[str, tuple[str, ...]],
    substitutable: bool,
) -> None:
    parsed = [parse_policy(document(*statements)) for statements in policies]
    request = RequestContext(context, frozenset() if substitutable else frozenset({"aws:username"}))
    device = Authorizer(parsed, request)
    expected = evaluate(parsed, action, resource, request)
    assert device.decide(action, resource) == expected
    assert device.decide(action, resource) == expected
    assert device.decide_once(action, resource) == expected
    assert device.allows(action, resource) is (expected.effect is DecisionEffect.ALLOWED)
