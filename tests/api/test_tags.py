"""ListTagsForResource."""

from urllib.parse import quote

import pytest
from tests.support.api import Api

from thingmint.core.errors import InvalidRequest, ResourceNotFound

OURS = "arn:aws:iot:eu-west-1:123456789012"


def target(arn: str) -> str:
    return f"/tags?resourceArn={quote(arn, safe='')}"


async def test_a_certificate_has_no_tags(api: Api) -> None:
    created = await api.call("POST", "/keys-and-certificate")

    assert await api.call("GET", target(created["certificateArn"])) == {"tags": []}


@pytest.mark.parametrize(
    "arn",
    [
        f"{OURS}:cert/{'0' * 64}",
        f"{OURS}:policy/allow",
        f"arn:aws:iot:eu-west-1:210987654321:cert/{'0' * 64}",
        f"arn:aws:iot:eu-west-2:123456789012:cert/{'0' * 64}",
        "arn:aws:iam::123456789012:user/operator",
    ],
)
async def test_what_the_registry_does_not_hold_is_not_found(api: Api, arn: str) -> None:
    with pytest.raises(ResourceNotFound):
        await api.call("GET", target(arn))


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
