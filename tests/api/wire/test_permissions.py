"""What policies are asked before a request is looked at any further, whatever it holds."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.registration.api import Api
from tests.support.registration.authority import caller_with

from thingmint.api.service import OPERATIONS
from thingmint.api.wire.permissions import CREDENTIALS_SERVICE, passes_role, request_tags, tag_context
from thingmint.api.wire.reading.binding import RawRequest
from thingmint.core.errors import InvalidRequest
from thingmint.registration.policies.authorization import Permission

OURS = "arn:aws:iot:eu-west-1:123456789012"
ROLE = "arn:aws:iam::123456789012:role/provisioning"
TAGS = {
    "aws:TagKeys": ("line", "hall"),
    "aws:RequestTag/line": ("7",),
    "aws:RequestTag/hall": ("",),
}


def needed(api: Api, method: str, target: str, body: object = None) -> tuple[Permission, ...]:
    path, _, query = target.partition("?")
    match = api.router.match(method, path.encode())
    raw = match.read(query.encode(), [], b"" if body is None else json.dumps(body).encode())
    return match.operation.permissions(caller_with().scope, raw)


async def test_creating_with_tags_takes_the_permission_to_tag(api: Api) -> None:
    tags = [{"Key": "line", "Value": "7"}, {"Key": "hall"}]
    for action, method, target, resource in (
        ("CreatePolicy", "POST", "/policies/p", f"{OURS}:policy/p"),
        ("CreateThingType", "POST", "/thing-types/t", f"{OURS}:thingtype/t"),
        ("CreateThingGroup", "POST", "/thing-groups/g", f"{OURS}:thinggroup/g"),
        ("CreateBillingGroup", "POST", "/billing-groups/b", f"{OURS}:billinggroup/b"),
        ("RegisterCACertificate", "POST", "/cacertificate", "*"),
    ):
        own, tagging = Permission(f"iot:{action}", resource, TAGS), Permission("iot:TagResource", resource, TAGS)
        assert needed(api, method, target, {"tags": tags}) == (own, tagging)
        assert needed(api, method, target, {"tags": []}) == (Permission(f"iot:{action}", resource),)
        assert needed(api, method, target) == (Permission(f"iot:{action}", resource),)


def twice(first: Mapping[str, object], second: Mapping[str, object]) -> bytes:
    """Return an object that has each of its members two times."""
    return f"{json.dumps(first)[:-1]},{json.dumps(second)[1:]}".encode()


async def test_of_a_member_that_a_body_has_twice_policies_are_asked_about_what_is_carried_out(api: Api) -> None:
    def document(effect: str) -> str:
        statement = {"Effect": effect, "Action": "iot:*", "Resource": "*"}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    first = {"policyDocument": document("Allow"), "tags": [{"Key": "line", "Value": "7"}]}
    second = {"policyDocument": document("Deny"), "tags": [{"Key": "hall", "Value": "1"}]}
    body = twice(first, second)
    tags = {"aws:TagKeys": ("hall",), "aws:RequestTag/hall": ("1",)}
    assert [each.context for each in api.permissions_of("POST", "/policies/p", body)] == [tags, tags]
    assert (await api.call("POST", "/policies/p", body))["policyDocument"] == second["policyDocument"]
    assert (await api.call("GET", f"/tags?resourceArn={OURS}:policy/p"))["tags"] == second["tags"]

    await api.call("POST", "/policies/q", json.dumps(first).encode())
    target = (await api.call("POST", "/keys-and-certificate"))["certificateArn"]
    body = twice({"target": f"{OURS}:thinggroup/mine"}, {"target": target})
    assert api.resource_of("PUT", "/target-policies/q", body) == target
    await api.call("PUT", "/target-policies/q", body)
    assert await api.call("POST", "/policy-targets/q") == {"targets": [target]}


async def test_tagging_is_asked_for_with_the_tags_and_untagging_with_the_keys(api: Api) -> None:
    arn = f"{OURS}:policy/p"
    tags = [{"Key": "line", "Value": "7"}, {"Key": "hall"}]

    assert needed(api, "POST", "/tags", {"resourceArn": arn, "tags": tags}) == (
        Permission("iot:TagResource", arn, TAGS),
    )
    assert needed(api, "POST", "/untag", {"resourceArn": arn, "tagKeys": ["line", 7, None]}) == (
        Permission("iot:UntagResource", arn, {"aws:TagKeys": ("line",)}),
    )
    assert needed(api, "GET", f"/tags?resourceArn={arn}") == (Permission("iot:ListTagsForResource", arn),)


async def test_a_role_is_passed_on_only_by_whom_may(api: Api) -> None:
    config = {"registrationConfig": {"roleArn": ROLE}}
    passing = Permission("iam:PassRole", ROLE, {"iam:PassedToService": ("iot.amazonaws.com",)})

    assert needed(api, "POST", "/cacertificate", config) == (Permission("iot:RegisterCACertificate", "*"), passing)
    assert needed(api, "PUT", f"/cacertificate/{'ab' * 32}", config)[1:] == (passing,)


async def test_the_thing_is_a_condition_key_of_attachments(api: Api) -> None:
    for action, method in (("AttachThingPrincipal", "PUT"), ("DetachThingPrincipal", "DELETE")):
        assert needed(api, method, "/things/lamp/principals") == (
            Permission(f"iot:{action}", "*", {"iot:thingArn": (f"{OURS}:thing/lamp",)}),
        )


async def test_an_operation_that_does_not_exist_here_needs_nothing(api: Api) -> None:
    assert needed(api, "POST", "/indices/search") == ()


def test_a_role_that_is_none_is_refused_later() -> None:
    role = passes_role("config", "roleArn", to=CREDENTIALS_SERVICE)
    for body in (b"", b"{", b'{"config":7}', b'{"config":{"roleArn":7}}', b'{"config":{"roleArn":""}}'):
        assert role(caller_with().scope, RawRequest({}, [], [], body)) == ()
    assert role(caller_with().scope, RawRequest({}, [], [], b'{"config":{"roleArn":"r"}}')) == (
        Permission("iam:PassRole", "r", {"iam:PassedToService": ("credentials.iot.amazonaws.com",)}),
    )


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"tags":{}}', b'{"tags":[7,null,[],{}]}', b'{"tags":[{"Key":7}]}', b'{"tagKeys":"line"}'],
)
def test_tags_of_the_wrong_form_count_as_absent(body: bytes) -> None:
    raw = RawRequest({}, [], [], body)
    assert request_tags(raw) == {}
    assert tag_context(raw) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["tags", "tagKeys", "Key", "Value", "resourceArn", "registrationConfig", "roleArn", "target"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.one_of(st.binary(max_size=40), JSON.map(lambda value: json.dumps(value).encode())), st.binary(max_size=40))
def test_no_body_and_no_header_keeps_policies_from_being_asked(body: bytes, header: bytes) -> None:
    for operation in OPERATIONS:
        labels = {part.strip("{}+"): "x" for part in operation.path.split("/") if part.startswith("{")}
        raw = RawRequest(labels, [("resourceArn", "x")], [(b"x-amzn-principal", header)], body)
        assert operation.permissions(caller_with().scope, raw)[0].action == f"iot:{operation.name}"


@pytest.mark.parametrize("path", ["/tags", "/untag"])
def test_a_request_that_speaks_of_hundreds_of_tags_is_refused_before_policies_are_asked(api: Api, path: str) -> None:
    tags = [{"Key": f"key-{number}", "Value": ""} for number in range(201)]
    keys = [f"key-{number}" for number in range(201)]
    for count in (200, 201):
        members = {"tags": tags[:count]} if path == "/tags" else {"tagKeys": keys[:count]}
        body = json.dumps({"resourceArn": "arn:aws:iot:eu-west-1:123456789012:policy/p", **members}).encode()
        if count == 200:
            assert len(api.permissions_of("POST", path, body)[0].context["aws:TagKeys"]) == count
            continue
        with pytest.raises(InvalidRequest, match="at most 200 tags"):
            api.permissions_of("POST", path, body)


def test_a_body_is_decoded_once() -> None:
    raw = RawRequest({}, [], [], b'{"a":1}')
    assert raw.members is raw.unchecked_members
    broken = RawRequest({}, [], [], b'{"a":')
    assert broken.unchecked_members == {}
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            _ = broken.members


@pytest.mark.parametrize(("added", "removed"), [(200, 0), (0, 200), (150, 150), (4_900, 4_900)])
async def test_policies_are_not_asked_about_any_number_of_resources(api: Api, added: int, removed: int) -> None:
    groups = [f"g{number}" for number in range(added)]
    body = {"thingName": "lamp", "thingGroupsToAdd": groups, "thingGroupsToRemove": ["h"] * removed}
    target = "/thing-groups/updateThingGroupsForThing"
    with pytest.raises(InvalidRequest, match=f"needs {added + removed + 1} permissions, and 200 is the maximum"):
        needed(api, "PUT", target, body)
    assert len(needed(api, "PUT", target, {**body, "thingGroupsToAdd": groups[:90], "thingGroupsToRemove": []}))
