"""What TestAuthorization tells about policies."""

import pytest
from tests.support.registration.policies import Json, document, simulate, statement

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import PolicyName
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.policies.simulation import (
    ActionType,
    AuthDecision,
    AuthRequest,
    AuthResult,
    NamedPolicy,
)

ARN = "arn:aws:iot:us-east-1:123456789012:"
EMPTY = RequestContext({})


def named(name: str, *statements: dict[str, Json]) -> NamedPolicy:
    return NamedPolicy(PolicyName(name), f"{ARN}policy/{name}", parse_iot_policy(document(*statements)))


def names(policies: tuple[NamedPolicy, ...]) -> list[str]:
    return [policy.name for policy in policies]


def publish(policies: list[NamedPolicy], *topics: str, context: RequestContext = EMPTY) -> AuthResult:
    request = AuthRequest(ActionType.PUBLISH, tuple(f"{ARN}topic/{topic}" for topic in topics))
    (result,) = simulate([request], policies, context)
    return result


ALLOW_A = named("allow-a", statement(Action="iot:Publish", Resource=f"{ARN}topic/a", Sid="A"))
ALLOW_B = named("allow-b", statement(Action="iot:Publish", Resource=f"{ARN}topic/b"))
MIXED = named("mixed", statement(Action="iot:*"), statement(Effect="Deny", Resource=f"{ARN}topic/a", Sid="No"))


def test_without_policies_everything_is_denied_implicitly() -> None:
    result = publish([], "a")
    assert (result.decision, result.allowing) == (AuthDecision.IMPLICIT_DENY, ())
    assert (result.implicitly_denying, result.explicitly_denying) == ((), ())


def test_policies_are_sorted_by_what_they_say() -> None:
    result = publish([ALLOW_A, ALLOW_B, MIXED], "a")
    assert result.decision is AuthDecision.EXPLICIT_DENY
    assert names(result.allowing) == ["allow-a", "mixed"]
    assert names(result.implicitly_denying) == ["allow-b"]
    assert names(result.explicitly_denying) == ["mixed"]


def test_several_resources_are_decided_as_their_worst() -> None:
    assert publish([ALLOW_A], "a").decision is AuthDecision.ALLOWED
    assert publish([ALLOW_A], "a", "b").decision is AuthDecision.IMPLICIT_DENY
    assert publish([ALLOW_A, ALLOW_B], "a", "b").decision is AuthDecision.ALLOWED
    assert publish([ALLOW_B, MIXED], "b", "c", "a").decision is AuthDecision.EXPLICIT_DENY


def test_verdict_names_policy_statement_and_place() -> None:
    allowed, silent = publish([ALLOW_B, ALLOW_A], "a", "c").verdicts
    assert (allowed.decision, allowed.policy, allowed.statement_index) == (AuthDecision.ALLOWED, ALLOW_A, 0)
    text = document(statement(Action="iot:Publish", Resource=f"{ARN}topic/a", Sid="A"))
    column = text.index('{"Effect"') + 1
    assert (allowed.sid, allowed.position) == ("A", f"line 1, column {column}")
    assert (silent.decision, silent.policy, silent.position) == (AuthDecision.IMPLICIT_DENY, None, None)
    (denied,) = publish([ALLOW_A, MIXED], "a").verdicts
    assert (denied.policy, denied.statement_index, denied.sid) == (MIXED, 1, "No")


@pytest.mark.parametrize(
    ("action", "name"),
    [
        (ActionType.CONNECT, "iot:Connect"),
        (ActionType.PUBLISH, "iot:Publish"),
        (ActionType.SUBSCRIBE, "iot:Subscribe"),
        (ActionType.RECEIVE, "iot:Receive"),
    ],
)
def test_actions_are_those_of_the_broker(action: ActionType, name: str) -> None:
    for allowed in ("iot:Connect", "iot:Publish", "iot:Subscribe", "iot:Receive"):
        (result,) = simulate([AuthRequest(action, ("*",))], [named("p", statement(Action=allowed))], EMPTY)
        assert (result.decision is AuthDecision.ALLOWED) is (allowed == name)


def test_context_that_statements_about_the_action_ask_for_is_named() -> None:
    policy = named(
        "p",
        statement(
            Action="iot:Publish",
            Resource=[f"{ARN}topic/${{iot:ClientId}}", f"{ARN}topic/${{iot:DomainName, 'none'}}"],
            Condition={
                "Bool": {"iot:Connection.Thing.IsAttached": "true"},
                "StringEquals": {"aws:SourceIp": "${iot:CertificateId}"},
                "StringEqualsIfExists": {"iot:Certificate.SerialNumber": "5"},
                "Null": {"iot:Certificate.Subject.Title": "true"},
            },
        ),
        statement(Action="iot:Receive", Condition={"StringEquals": {"iot:LastWillTopic": "x"}}),
    )
    assert publish([policy], "a").missing_context_values == (
        "aws:SourceIp",
        "iot:CertificateId",
        "iot:ClientId",
        "iot:Connection.Thing.IsAttached",
    )
    given = RequestContext({"AWS:sourceip": (), "iot:ClientId": ("a",), "iot:CertificateId": ("b",)})
    assert publish([policy], "a", context=given).missing_context_values == ("iot:Connection.Thing.IsAttached",)


def test_number_of_requests_and_resources_is_bounded() -> None:
    one = AuthRequest(ActionType.CONNECT, ("*",))
    assert len(simulate([one] * 10, [], EMPTY)) == 10
    for count in (0, 11):
        with pytest.raises(InvalidRequest, match=f"1 to 10 elements, not {count}"):
            simulate([one] * count, [], EMPTY)
    with pytest.raises(InvalidRequest, match="at least one resource"):
        AuthRequest(ActionType.CONNECT, ())
