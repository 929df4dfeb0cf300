"""Tags, and access keys that tags bind, as AWS's SDK for Python shows them."""

import json
import secrets
from collections.abc import Callable

import pytest
from tests.support.clients.aws import AccessKey, ClientOf, IoT, Live, allow, deny, policy, refusal_of

DOCUMENT = json.dumps(policy(allow("iot:Connect")))
DENIED = ("AccessDeniedException", 403)
LINE_7 = [{"Key": "line", "Value": "7"}]


def unique(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(6)}"


def new_policy(iot: IoT, **members: object) -> tuple[str, str]:
    name = unique("tagged")
    return name, iot.create_policy(policyName=name, policyDocument=DOCUMENT, **members)["policyArn"]


def when(statement: dict[str, object], operator: str, key: str, *values: str) -> dict[str, object]:
    return statement | {"Condition": {operator: {key: list(values)}}}


def refused(call: Callable[..., object], **parameters: object) -> bool:
    refusal = refusal_of(call, **parameters)
    return (refusal.name, refusal.status) == DENIED


def test_tags_are_set_listed_changed_and_taken_away(iot: IoT) -> None:
    _, arn = new_policy(iot, tags=[*LINE_7, {"Key": "größe 1"}])
    iot.tag_resource(resourceArn=arn, tags=[{"Key": "line", "Value": "8"}, {"Key": "hall", "Value": "✓"}])

    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == [
        {"Key": "größe 1", "Value": ""},
        {"Key": "hall", "Value": "✓"},
        {"Key": "line", "Value": "8"},
    ]
    assert len(iot.get_paginator("list_tags_for_resource").paginate(resourceArn=arn).build_full_result()["tags"]) == 3

    iot.untag_resource(resourceArn=arn, tagKeys=["line", "größe 1", "unknown"])
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "hall", "Value": "✓"}]


def test_every_kind_that_has_tags_at_creation_has_them(iot: IoT) -> None:
    arns = [
        new_policy(iot, tags=LINE_7)[1],
        iot.create_thing_type(thingTypeName=unique("type"), tags=LINE_7)["thingTypeArn"],
        iot.create_thing_group(thingGroupName=unique("group"), tags=LINE_7)["thingGroupArn"],
        iot.create_billing_group(billingGroupName=unique("billing"), tags=LINE_7)["billingGroupArn"],
    ]
    assert [iot.list_tags_for_resource(resourceArn=arn)["tags"] for arn in arns] == [LINE_7] * len(arns)


def test_a_new_resource_with_the_name_of_a_deleted_one_has_none_of_its_tags(iot: IoT) -> None:
    name, arn = new_policy(iot, tags=LINE_7)
    iot.delete_policy(policyName=name)
    assert refusal_of(iot.list_tags_for_resource, resourceArn=arn).name == "ResourceNotFoundException"
    iot.create_policy(policyName=name, policyDocument=DOCUMENT)
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == []


def test_the_modelled_errors(live: Live, iot: IoT, client_of: ClientOf) -> None:
    _, arn = new_policy(iot)
    unchecked = client_of(live, parameter_validation=False)
    many = [{"Key": f"key-{number}", "Value": ""} for number in range(51)]
    assert refusal_of(iot.tag_resource, resourceArn=arn, tags=many).name == "LimitExceededException"
    bad: list[list[dict[str, object]]] = [
        [{"Key": "aws:x"}],
        [{"Key": ""}],
        [{"Key": "k" * 129}],
        [{"Key": "k"}] * 2,
        [{"Key": 7}],
        [{}],
    ]
    for tags in bad:
        assert refusal_of(unchecked.tag_resource, resourceArn=arn, tags=tags).name == "InvalidRequestException"
    for call, parameters in ((iot.tag_resource, {"tags": LINE_7}), (iot.untag_resource, {"tagKeys": ["line"]})):
        gone = refusal_of(call, resourceArn=arn + "-gone", **parameters)
        assert (gone.name, gone.status) == ("ResourceNotFoundException", 404)
        assert refusal_of(call, resourceArn="gone", **parameters).name == "InvalidRequestException"
    assert iot.list_tags_for_resource(resourceArn=arn)["tags"] == []


@pytest.fixture(scope="module")
def creator(live: Live) -> AccessKey:
    """A key that may create policies, and tag them with its own line alone."""
    return live.create_access_key(
        policy(
            allow("iot:CreatePolicy"),
            when(allow("iot:TagResource"), "StringEquals", "aws:RequestTag/line", "7"),
            when(deny("iot:TagResource"), "ForAnyValue:StringNotEquals", "aws:TagKeys", "line"),
        )
    )


def test_creating_with_tags_takes_the_permission_to_tag(live: Live, client_of: ClientOf, creator: AccessKey) -> None:
    client = client_of(live, creator)
    untagging = client_of(live, live.create_access_key(policy(allow("iot:CreatePolicy"))))

    new_policy(client)
    new_policy(client, tags=LINE_7)
    new_policy(untagging)
    for key, tags in (
        (untagging, LINE_7),
        (client, [{"Key": "line", "Value": "8"}]),
        (client, [*LINE_7, {"Key": "hall", "Value": "1"}]),
    ):
        assert refused(key.create_policy, policyName=unique("refused"), policyDocument=DOCUMENT, tags=tags)


def test_the_tags_of_a_resource_decide_who_may_change_it(live: Live, iot: IoT, client_of: ClientOf) -> None:
    (own, own_arn), (other, _) = new_policy(iot, tags=LINE_7), new_policy(iot, tags=[{"Key": "line", "Value": "8"}])
    key = live.create_access_key(policy(when(allow("iot:*"), "StringEquals", "aws:ResourceTag/line", "7")))
    client = client_of(live, key)

    assert client.get_policy(policyName=own)["policyName"] == own
    assert refused(client.get_policy, policyName=other)
    assert refused(client.list_policies)
    iot.untag_resource(resourceArn=own_arn, tagKeys=["line"])
    assert refused(client.get_policy, policyName=own)


def test_the_thing_of_an_attachment_is_a_condition_key(live: Live, iot: IoT, client_of: ClientOf) -> None:
    thing, other = unique("lamp"), unique("door")
    arn = iot.create_thing(thingName=thing)["thingArn"]
    iot.create_thing(thingName=other)
    principal = iot.create_keys_and_certificate()["certificateArn"]
    attach = allow("iot:AttachThingPrincipal", "iot:DetachThingPrincipal", resource=principal)
    client = client_of(live, live.create_access_key(policy(when(attach, "ArnEquals", "iot:thingArn", arn))))

    client.attach_thing_principal(thingName=thing, principal=principal)
    client.detach_thing_principal(thingName=thing, principal=principal)
    assert refused(client.attach_thing_principal, thingName=other, principal=principal)


def test_a_bad_body_does_not_keep_a_refusal_from_being_one(live: Live, client_of: ClientOf) -> None:
    key = live.create_access_key(policy(allow("iot:DescribeEndpoint")))
    client = client_of(live, key, parameter_validation=False)
    bodies: list[dict[str, object]] = [
        {"resourceArn": 7, "tags": [{"Key": 7}]},
        {"resourceArn": "", "tags": [{}]},
        {"tags": []},
    ]
    for parameters in bodies:
        assert refused(client.tag_resource, **parameters)
