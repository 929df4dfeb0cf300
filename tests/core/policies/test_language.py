"""What policies say about a request."""

import json

import pytest
from tests.support.registration.policies import Json, document, statement

from thingmint.core.policies.language import Decision, DecisionEffect, evaluate, parse_policy

ARN = "arn:aws:iot:us-east-1:000000000000:cert/aaaa"
DESCRIBE = "iot:DescribeCertificate"


def decide(
    *policies: str, action: str = DESCRIBE, resource: str = ARN, context: dict[str, tuple[str, ...]] | None = None
) -> Decision:
    return evaluate([parse_policy(text) for text in policies], action, resource, context or {})


def allows(
    *statements: dict[str, Json],
    action: str = DESCRIBE,
    resource: str = ARN,
    context: dict[str, tuple[str, ...]] | None = None,
) -> bool:
    decision = decide(document(*statements), action=action, resource=resource, context=context)
    return decision.effect is DecisionEffect.ALLOWED


def test_nothing_is_allowed_without_a_policy() -> None:
    assert decide() == Decision(DecisionEffect.IMPLICIT_DENY)


def test_administrator_may_do_everything() -> None:
    assert decide(document(statement())) == Decision(DecisionEffect.ALLOWED, 0, 0, None)


def test_decision_names_the_statement_that_allows() -> None:
    other = document(statement(Action="s3:*"))
    policy = document(statement(Action="s3:*", Sid="Not"), statement(Sid="This"), statement(Sid="Second"))
    assert decide(other, policy) == Decision(DecisionEffect.ALLOWED, 1, 1, "This")


def test_decision_names_the_statement_that_denies() -> None:
    policy = document(statement(), statement(Effect="Deny", Action="s3:*"), statement(Effect="Deny", Sid="No"))
    assert decide(policy) == Decision(DecisionEffect.EXPLICIT_DENY, 0, 2, "No")


def test_deny_of_one_policy_wins_over_allow_of_another() -> None:
    deny = document(statement(Effect="Deny", Action="iot:Describe*"))
    assert decide(deny, document(statement())).effect is DecisionEffect.EXPLICIT_DENY
    assert decide(document(statement()), deny).effect is DecisionEffect.EXPLICIT_DENY


def test_statement_may_stand_without_a_list() -> None:
    text = json.dumps({"Version": "2012-10-17", "Id": "one", "Statement": statement()})
    assert decide(text).effect is DecisionEffect.ALLOWED


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", True),
        ("iot:*", True),
        ("iot:DescribeCertificate", True),
        ("IOT:describecertificate", True),
        ("iot:Describe*", True),
        ("iot:*Certificate", True),
        ("iot:D*C*e", True),
        ("iot:DescribeCertificat?", True),
        ("iot:DescribeCertificate?", False),
        ("iot:Describe", False),
        ("iot:describecertificates", False),
        ("s3:*", False),
        (["s3:*", "iot:DescribeCertificate"], True),
        (["s3:*", "iot:Delete*"], False),
    ],
)
def test_action_patterns(pattern: Json, expected: bool) -> None:
    assert allows(statement(Action=pattern)) is expected
    assert allows(statement(Action=None, NotAction=pattern)) is not expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", True),
        (ARN, True),
        ("arn:aws:iot:us-east-1:000000000000:cert/*", True),
        ("arn:aws:iot:*", True),
        ("arn:*:cert/a?a?", True),
        ("arn:aws:iot:*:*:cert/aaaa", True),
        ("arn:*iot*cert*", True),
        ("arn:*iot*thing*", False),
        ("arn:*aaaaa", False),
        ("arn:aws:iot:us-east-1:000000000000:cert/aaaa*aaaa", False),
        ("arn:aws:iot:us-east-1:000000000000:CERT/aaaa", False),
        ("arn:aws:iot:us-east-1:000000000000:cert/aaa", False),
        ("arn:aws:iot:us-east-1:000000000000:cert/aaa??", False),
        ("arn:*:cert/??*??", True),
        ("arn:*:cert/?b*", False),
        ("arn:*?", True),
        ("arn:*" + "?" * 60, False),
        (["arn:aws:s3:::bucket", ARN], True),
    ],
)
def test_resource_patterns(pattern: Json, expected: bool) -> None:
    assert allows(statement(Resource=pattern)) is expected
    assert allows(statement(Resource=None, NotResource=pattern)) is not expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("arn:a*?b*c", "arn:axbxc", True),
        ("arn:a*?b*c", "arn:abc", False),
        ("arn:*a?c*z", "arn:aaaabcz", True),
        ("arn:*a?c*z", "arn:aacdaz", True),
        ("arn:*a?c*z", "arn:aaaaz", False),
        ("arn:*a??*z", "arn:az", False),
        ("arn:*??*z", "arn:xyz", True),
        ("arn:*??*z", "arn:xz", False),
        ("arn:*b?b*", "arn:bcabab", True),
        ("arn:" + "*a" * 200 + "b", "arn:" + "a" * 5000, False),
    ],
)
def test_wildcards_in_the_middle(pattern: str, text: str, expected: bool) -> None:
    assert allows(statement(Resource=pattern), resource=text) is expected


def test_lone_star_is_the_resource_of_operations_without_one() -> None:
    assert not allows(statement(Resource="arn:aws:iot:*"), resource="*")
    assert allows(statement(Resource="*"), resource="*")


TOPIC = "arn:aws:iot:us-east-1:000000000000:topic/"


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        (TOPIC + "${iot:ClientId}/#", TOPIC + "thing-1/#", True),
        (TOPIC + "${IOT:clientid}/#", TOPIC + "thing-1/#", True),
        (TOPIC + "${iot:ClientId}", TOPIC + "thing-2", False),
        (TOPIC + "*/${iot:ClientId}", TOPIC + "a/b/thing-1", True),
        # A value is text, whatever it holds.
        (TOPIC + "${iot:Wild}", TOPIC + "*", True),
        (TOPIC + "${iot:Wild}", TOPIC + "other", False),
        (TOPIC + "${iot:Missing}", TOPIC + "thing-1", False),
        (TOPIC + "${iot:Missing, 'spare'}", TOPIC + "spare", True),
        (TOPIC + "${iot:Missing,''}", TOPIC, True),
        (TOPIC + "${iot:ClientId, 'spare'}", TOPIC + "thing-1", True),
        (TOPIC + "${iot:Empty}", TOPIC, False),
        (TOPIC + "a${*}b${?}c${$}{d}", TOPIC + "a*b?c${d}", True),
        (TOPIC + "a${*}", TOPIC + "abc", False),
        (TOPIC + "${iot:Connection.Thing.Attributes[floor]}", TOPIC + "3", True),
        (TOPIC + "$aws/things/${iot:ClientId}", TOPIC + "$aws/things/thing-1", True),
    ],
)
def test_variables_in_resources(pattern: str, resource: str, expected: bool) -> None:
    context = {
        "iot:ClientId": ("thing-1", "thing-2"),
        "iot:Wild": ("*",),
        "iot:Empty": (),
        "iot:Connection.Thing.Attributes[floor]": ("3",),
    }
    assert allows(statement(Resource=pattern), resource=resource, context=context) is expected


def test_missing_variable_neither_widens_an_allow_nor_narrows_a_deny() -> None:
    unknown = TOPIC + "${iot:ClientId}"
    assert not allows(statement(Resource=None, NotResource=unknown))
    assert not allows(statement(), statement(Effect="Deny", Resource=None, NotResource=unknown))
    assert allows(statement(), statement(Effect="Deny", Resource=None, NotResource=[unknown, ARN]))


@pytest.mark.parametrize("version", [None, "2008-10-17"])
def test_variables_are_plain_text_in_the_older_version(version: str | None) -> None:
    text = document(statement(Resource=TOPIC + "${iot:ClientId}"), version=version)
    given: dict[str, tuple[str, ...]] = {"iot:ClientId": ("thing-1",)}
    assert decide(text, resource=TOPIC + "thing-1", context=given).effect is DecisionEffect.IMPLICIT_DENY
    assert decide(text, resource=TOPIC + "${iot:ClientId}").effect is DecisionEffect.ALLOWED


def test_all_conditions_must_hold() -> None:
    condition: Json = {
        "StringEquals": {"aws:username": "ada", "iot:thingArn": ["x", "y"]},
        "Bool": {"aws:SecureTransport": "true"},
    }
    given: dict[str, tuple[str, ...]] = {
        "aws:username": ("ada",),
        "iot:thingArn": ("y",),
        "aws:SecureTransport": ("true",),
    }
    assert allows(statement(Condition=condition), context=given)
    for key in given:
        assert not allows(statement(Condition=condition), context={**given, key: ("other",)})


def test_policies_with_the_same_text_are_equal() -> None:
    policy = parse_policy(document(statement()))
    assert policy == parse_policy(document(statement()))
    assert policy != parse_policy(document(statement(), statement()))
