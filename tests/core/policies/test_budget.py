"""How much work policies may cause: what is too much is refused before it is done, and never allowed."""

import pytest
from tests.support.registration.policies import Json, document, simulate, statement

from thingmint.core.errors import LimitExceeded
from thingmint.core.identifiers import PolicyName
from thingmint.core.policies import budget
from thingmint.core.policies.authorizer import Authorizer
from thingmint.core.policies.budget import MAX_WEIGHT_IN_FORCE, MAX_WEIGHT_OF_TEST
from thingmint.core.policies.conditions import RequestContext
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.policies.language import Policy
from thingmint.core.policies.simulation import ActionType, AuthDecision, AuthRequest, NamedPolicy

ARN = "arn:aws:iot:us-east-1:123456789012:"
EMPTY = RequestContext({})


def largest() -> Policy:
    """Return a policy of about the largest size that is legal."""
    resources: list[Json] = [f"{ARN}topic/{number:03}/*" for number in range(34)]
    return parse_iot_policy(document(statement(Action="iot:Publish", Resource=resources)))


def named(policies: list[Policy]) -> list[NamedPolicy]:
    return [NamedPolicy(PolicyName(f"p{index}"), f"{ARN}policy/p{index}", each) for index, each in enumerate(policies)]


def test_a_policy_weighs_what_its_patterns_and_values_have_in_characters() -> None:
    plain = parse_iot_policy(document(statement(Action="iot:Publish", Resource=f"{ARN}topic/a")))
    assert plain.weight == 32 + len(f"{ARN}topic/a")
    variable = parse_iot_policy(document(statement(Action="iot:Publish", Resource=ARN + "topic/${iot:ClientId}?*")))
    assert variable.weight == 32 + len(f"{ARN}topic/") + 64 + 1 + 8


def test_a_short_pattern_or_value_counts_for_more_than_its_characters() -> None:
    conditions: Json = {"StringLike": {"iot:ClientId": ["a", "b*"]}, "Null": {"iot:X": True}}
    policy = parse_iot_policy(document(statement(Action=["iot:Publish", "iot:Receive"], Condition=conditions)))
    assert policy.weight == 32 + 2 * 32 + 3 * 32 + 32


def test_policies_of_largest_size_are_in_force_together() -> None:
    policies = [largest()] * (MAX_WEIGHT_IN_FORCE // largest().weight)
    assert len(policies) > 30
    assert Authorizer(policies, EMPTY).allows("iot:Publish", f"{ARN}topic/000/x")


def test_policies_that_are_too_large_together_are_refused() -> None:
    policies = [largest()] * (MAX_WEIGHT_IN_FORCE // largest().weight + 1)
    with pytest.raises(LimitExceeded, match="too large together"):
        Authorizer(policies, EMPTY)
    with pytest.raises(LimitExceeded, match="too large together"):
        simulate([AuthRequest(ActionType.PUBLISH, ("*",))], named(policies), EMPTY)


def test_a_test_may_have_many_resources_for_usual_policies() -> None:
    resources = tuple(f"{ARN}topic/000/{number}" for number in range(1000))
    (result,) = simulate([AuthRequest(ActionType.PUBLISH, resources)], named([largest()]), EMPTY)
    assert result.decision is AuthDecision.ALLOWED


@pytest.mark.parametrize("length", [1, 2048])
def test_a_test_of_too_many_resources_is_refused(length: int) -> None:
    policies = named([largest()] * 10)
    weight = 10 * largest().weight
    fitting = MAX_WEIGHT_OF_TEST // (weight * (1 + length // 1024))
    requests = [AuthRequest(ActionType.PUBLISH, ("a" * length,) * (fitting // 10 + 1)) for _ in range(10)]
    with pytest.raises(LimitExceeded, match="too many resources"):
        simulate(requests, policies, EMPTY)


def test_a_test_without_policies_has_a_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget, "MAX_WEIGHT_OF_TEST", 10_000)
    long = "a" * (1024 * 999)
    with pytest.raises(LimitExceeded):
        simulate([AuthRequest(ActionType.CONNECT, (long,) * 11)], [], EMPTY)
    simulate([AuthRequest(ActionType.CONNECT, (long,) * 10)], [], EMPTY)
