"""TagResource, UntagResource and ListTagsForResource."""

import json
from urllib.parse import quote

import pytest
from tests.support.registration.api import Api

from thingmint.core.errors import InvalidRequest, ResourceNotFound

OURS = "arn:aws:iot:eu-west-1:123456789012"


def target(arn: str) -> str:
    return f"/tags?resourceArn={quote(arn, safe='')}"


async def test_a_certificate_has_no_tags(api: Api) -> None:
    created = await api.call("POST", "/keys-and-certificate")

    assert await api.call("GET", target(created["certificateArn"])) == {"tags": []}


async def test_a_certificate_that_does_not_exist_is_not_found(api: Api) -> None:
    with pytest.raises(ResourceNotFound):
        await api.call("GET", target(f"{OURS}:cert/{'0' * 64}"))


@pytest.mark.parametrize("arn", ["", "certificate", "arn:aws:iot", f"{OURS}:", f"{OURS}:cert/short"])
async def test_what_is_no_arn_is_refused(api: Api, arn: str) -> None:
    with pytest.raises(InvalidRequest):
        await api.call("GET", target(arn))


async def test_an_arn_must_be_given(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="Value null at 'resourceArn'"):
        await api.call("GET", "/tags")


async def test_a_token_is_refused_because_none_was_given_out(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="nextToken is not valid"):
        await api.call("GET", target(f"{OURS}:cert/{'0' * 64}") + "&nextToken=x")


@pytest.mark.parametrize(
    ("query", "resource"),
    [
        (f"?resourceArn={OURS}:cert/{'AB' * 32}", f"{OURS}:cert/{'ab' * 32}"),
        (f"?resourceArn={OURS}:policy/Allow", f"{OURS}:policy/Allow"),
        ("?resourceArn=", "*"),
        ("", "*"),
    ],
)
def test_policies_are_asked_about_the_resource(api: Api, query: str, resource: str) -> None:
    assert api.resource_of("GET", f"/tags{query}") == resource


async def tag(api: Api, arn: str, *tags: object) -> None:
    assert await api.call("POST", "/tags", json.dumps({"resourceArn": arn, "tags": tags}).encode()) == {}


async def untag(api: Api, arn: str, *keys: object) -> None:
    assert await api.call("POST", "/untag", json.dumps({"resourceArn": arn, "tagKeys": keys}).encode()) == {}


async def test_tags_live_their_life(api: Api) -> None:
    arn = f"{OURS}:billinggroup/hall"
    await api.call("POST", "/billing-groups/hall", b'{"tags":[{"Key":"line","Value":"7"},{"Key":"hall"}]}')
    await tag(api, arn, {"Key": "line", "Value": "8"}, {"Key": "größe 1", "Value": "✓"})

    assert await api.call("GET", target(arn)) == {
        "tags": [{"Key": "größe 1", "Value": "✓"}, {"Key": "hall", "Value": ""}, {"Key": "line", "Value": "8"}]
    }

    await untag(api, arn, "line", "größe 1")
    assert await api.call("GET", target(arn)) == {"tags": [{"Key": "hall", "Value": ""}]}


async def test_a_thing_has_no_tags(api: Api) -> None:
    await api.call("POST", "/things/lamp")
    assert await api.call("GET", target(f"{OURS}:thing/lamp")) == {"tags": []}
    with pytest.raises(ResourceNotFound):
        await api.call("GET", target(f"{OURS}:thing/none"))


@pytest.mark.parametrize(
    ("tags", "reason"),
    [([{"Key": "k"}, {"Key": "semi;colon"}], "tags.2.member.key"), ([{"Key": "k"}, {"Key": "k"}], "more than once")],
)
async def test_tags_that_cannot_be_change_nothing(api: Api, tags: list[object], reason: str) -> None:
    await api.call("POST", "/billing-groups/hall")
    with pytest.raises(InvalidRequest, match=reason):
        await tag(api, f"{OURS}:billinggroup/hall", *tags)
    assert not api.store.tables.rows("tag")


async def test_what_is_no_arn_can_be_neither_tagged_nor_untagged(api: Api) -> None:
    arn = f"{OURS}:billinggroup/a\0b"
    with pytest.raises(InvalidRequest, match="not an ARN"):
        await tag(api, arn, {"Key": "k"})
    with pytest.raises(InvalidRequest, match="not an ARN"):
        await untag(api, arn, "k")


@pytest.mark.parametrize(
    ("body", "resource"),
    [
        (f'{{"resourceArn":"{OURS}:cacert/AB"}}', f"{OURS}:cacert/ab"),
        (f'{{"resourceArn":"{OURS}:policy/AB"}}', f"{OURS}:policy/AB"),
        ('{"resourceArn":7}', "*"),
        ("[]", "*"),
        ("{", "*"),
        ("", "*"),
    ],
)
@pytest.mark.parametrize("path", ["/tags", "/untag"])
def test_policies_are_asked_about_the_resource_of_the_body(api: Api, path: str, body: str, resource: str) -> None:
    assert api.resource_of("POST", path, body.encode()) == resource
