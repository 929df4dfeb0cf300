"""AWS IoT policies: what is one, and what the language's words mean for MQTT."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.machine.soak import examples
from tests.support.registration.policies import Json, document, statement

from thingmint.core.errors import MalformedPolicy
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.policies.language import DecisionEffect, evaluate, parse_policy

ARN = "arn:aws:iot:us-east-1:123456789012:"


def refusal(text: str) -> str:
    with pytest.raises(MalformedPolicy) as caught:
        parse_iot_policy(text)
    return caught.value.message


def allows(resource_pattern: str, resource: str, action: str = "iot:Subscribe") -> bool:
    policy = parse_iot_policy(document(statement(Action="iot:*", Resource=ARN + resource_pattern)))
    return evaluate([policy], action, ARN + resource, {}).effect is DecisionEffect.ALLOWED


@pytest.mark.parametrize(
    "action",
    ["*", "iot:*", "iot:Publish", "IOT:publish", "iot:Get*", "iot:NotKnownYet", "greengrass:*", "iotjobsdata:*"],
)
def test_actions_of_devices_are_accepted(action: str) -> None:
    assert parse_iot_policy(document(statement(Action=action))).statements
    assert parse_iot_policy(document(statement(Action=None, NotAction=action))).statements


@pytest.mark.parametrize("action", ["s3:GetObject", "iam:*", "io:Publish", "iott:Publish"])
def test_actions_of_other_services_are_refused_with_their_place(action: str) -> None:
    text = document(statement(Action=["iot:Publish", action]))
    column = text.index(f'"{action}"') + 1
    service = action.partition(":")[0]
    assert refusal(text) == (
        f"line 1, column {column}: an action of this policy is one of greengrass, iot, iotjobsdata, not of {service!r}"
    )
    assert parse_policy(text).statements


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the document ends early"),
        (json.dumps({"Version": "2012-10-17", "Statement": []}), "Statement must not be empty"),
        (document(statement(Principal="*")), "should not specify a principal"),
        (document(statement(), version="2020-01-01"), "Version is 2008-10-17 or 2012-10-17"),
        ('{"Version":"2012-10-17","Version":"2012-10-17"}', "the key 'Version' appears twice"),
        (document(statement(Action=["iot:Publish", "iot"])), "an action is formed like"),
        (document(statement(Resource="topic/a")), 'a resource is an ARN or "*"'),
    ],
)
def test_what_no_policy_may_be_no_policy_of_a_device_may_be(text: str, reason: str) -> None:
    assert reason in refusal(text)


def test_size_is_counted_without_white_space() -> None:
    longest = document(statement(Action="iot:Publish", Sid=""))
    spare = 2048 - len("".join(longest.split()))
    text = json.dumps(json.loads(longest.replace('"Sid": ""', f'"Sid": "{"s" * spare}"')), indent=40)
    assert len(text) > 2048
    assert parse_iot_policy(text).statements
    assert "at most 2048 characters, not counting white space" in refusal(text.replace('"sss', '"ssss'))


def test_raw_text_is_bounded_too() -> None:
    text = document(statement())
    assert parse_iot_policy(text + " " * (404_600 - len(text))).statements
    assert "at most 404600 characters" in refusal(text + " " * (404_601 - len(text)))


@pytest.mark.parametrize(
    ("pattern", "resource", "expected"),
    [
        ("topicfilter/a/+/b", "topicfilter/a/+/b", True),
        ("topicfilter/a/+/b", "topicfilter/a/x/b", False),
        ("topicfilter/a/*/b", "topicfilter/a/+/b", True),
        ("topicfilter/a/*/b", "topicfilter/a/x/y/b", True),
        ("topicfilter/#", "topicfilter/#", True),
        ("topicfilter/#", "topicfilter/a", False),
        ("topicfilter/*", "topicfilter/#", True),
        ("topic/a?c", "topic/a/c", True),
        ("topic/a?c", "topic/ac", False),
        ("topic/a${*}c", "topic/a*c", True),
        ("topic/a${*}c", "topic/abc", False),
        ("topic/${?}", "topic/?", True),
        ("topic/${$}aws/x", "topic/$aws/x", True),
        ("topic/$aws/certificates/create/*", "topic/$aws/certificates/create/json", True),
        ("topic/$aws/certificates/create/*", "topic/$aws/certificates/create-from-csr/json", False),
        ("topic/$aws/things/*", "topic/$aws/things/lamp/shadow/update", True),
        ("topic/a", "topicfilter/a", False),
        ("topic/Ä/温度", "topic/Ä/温度", True),
        ("topic/a", "topic/A", False),
    ],
)
def test_wildcards_of_policies_and_of_mqtt_are_not_the_same(pattern: str, resource: str, expected: bool) -> None:
    assert allows(pattern, resource) is expected


@pytest.mark.parametrize("name", ["floor", "a,b", "a.b:c/d#e-f@g_h", "x" * 128])
def test_attributes_of_things_may_stand_in_variables(name: str) -> None:
    key = f"iot:Connection.Thing.Attributes[{name}]"
    for pattern, expected in ((f"topic/${{{key}}}", "topic/3"), (f"topic/${{{key}, 'none'}}", "topic/3")):
        policy = parse_iot_policy(document(statement(Resource=ARN + pattern)))
        context: dict[str, tuple[str, ...]] = {key: ("3",)}
        assert evaluate([policy], "iot:Publish", ARN + expected, context).effect is DecisionEffect.ALLOWED
        other = evaluate([policy], "iot:Publish", ARN + "topic/none", {}).effect
        assert other is (DecisionEffect.ALLOWED if "none" in pattern else DecisionEffect.IMPLICIT_DENY)


@pytest.mark.parametrize(
    "variable",
    [
        "iot:A[b",
        "iot:Ab]",
        "iot:A[b]c",
        "iot:A[b][c]",
        "iot:A[[b]]",
        "iot:A[b, 'x'",
        "A[iot:b]",
        "iot:A[ä]",
        "iot:A[b],",
    ],
)
def test_brackets_close_at_the_end_of_a_variable(variable: str) -> None:
    reason = refusal(document(statement(Resource=f"{ARN}topic/${{{variable}}}")))
    assert f"${{{variable}}} is neither" in reason


@given(st.text(max_size=60) | st.text(st.sampled_from('{}[]":,\\ \n0-1.eEtruefalsn$*'), max_size=60))
@settings(max_examples=examples(40, 500))
def test_any_text_is_a_policy_or_malformed(text: str) -> None:
    with suppress(MalformedPolicy):
        parse_iot_policy(text)


@given(st.text(max_size=30))
@settings(max_examples=examples(40, 500))
def test_any_variable_is_read_or_refused(inner: str) -> None:
    elements: Json = f"{ARN}topic/${{{inner}}}"
    with suppress(MalformedPolicy):
        policy = parse_iot_policy(document(statement(Resource=elements)))
        evaluate([policy], "iot:Publish", ARN + "topic/a", {})
