"""The operations of policies and their versions, from the parts of a request to the JSON of the answer."""

import json
from typing import Any

import pytest
from tests.support.registration.api import Api
from tests.support.registration.policies import document, statement

from thingmint.core.errors import InvalidRequest, MalformedPolicy, ResourceNotFound

FIRST = document(statement(Action="iot:Connect")) + "\n"
SECOND = document(statement(Action="iot:Publish"))
ARN = "arn:aws:iot:eu-west-1:123456789012:policy/Lamp"
CREATED_AT = 1541022751.983


def body(text: object, **members: object) -> bytes:
    return json.dumps({"policyDocument": text, **members}).encode()


async def create(api: Api, name: str = "Lamp") -> dict[str, Any]:
    created: dict[str, Any] = await api.call("POST", f"/policies/{name}", body(FIRST))
    return created


async def create_version(api: Api, query: str = "") -> dict[str, Any]:
    created: dict[str, Any] = await api.call("POST", f"/policies/Lamp/version{query}", body(SECOND))
    return created


async def test_a_policy_is_created_and_told_as_it_was_written(api: Api) -> None:
    assert await create(api) == {
        "policyName": "Lamp",
        "policyArn": ARN,
        "policyDocument": FIRST,
        "policyVersionId": "1",
    }
    assert await api.call("GET", "/policies/Lamp") == {
        "policyName": "Lamp",
        "policyArn": ARN,
        "policyDocument": FIRST,
        "defaultVersionId": "1",
        "creationDate": CREATED_AT,
        "lastModifiedDate": CREATED_AT,
        "generationId": "5d6c2a0c-6f7d-4a8e-9c1b-0e2f3a4b5c6d",
    }


async def test_a_name_with_every_allowed_character_travels_in_a_path(api: Api) -> None:
    created = await create(api, "A_9%2B%3D%2C.%40-")
    assert created["policyName"] == "A_9+=,.@-"
    assert (await api.call("GET", "/policies/A_9+=,.@-"))["policyArn"].endswith(":policy/A_9+=,.@-")


async def test_other_names_are_refused(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="policyName"):
        await create(api, "a%2Fb")
    assert not api.store.tables.rows("policy")


async def test_a_bad_request_creates_nothing(api: Api) -> None:
    for refused, error in (
        (b"", InvalidRequest),
        (body(FIRST, tags=[{"Key": "aws:line", "Value": "1"}]), InvalidRequest),
        (body("{}"), MalformedPolicy),
    ):
        with pytest.raises(error):
            await api.call("POST", "/policies/Lamp", refused)
    assert not api.store.tables.rows("policy")


async def test_versions_are_made_listed_put_into_force_and_deleted(api: Api) -> None:
    await create(api)
    assert await create_version(api) == {
        "policyArn": ARN,
        "policyDocument": SECOND,
        "policyVersionId": "2",
        "isDefaultVersion": False,
    }
    assert (await create_version(api, "?setAsDefault=true"))["isDefaultVersion"] is True
    assert await api.call("GET", "/policies/Lamp/version/2") == {
        "policyArn": ARN,
        "policyName": "Lamp",
        "policyDocument": SECOND,
        "policyVersionId": "2",
        "isDefaultVersion": False,
        "creationDate": CREATED_AT,
        "lastModifiedDate": CREATED_AT,
        "generationId": "5d6c2a0c-6f7d-4a8e-9c1b-0e2f3a4b5c6d",
    }
    assert await api.call("PATCH", "/policies/Lamp/version/1") == {}
    assert await api.call("DELETE", "/policies/Lamp/version/3") == {}
    assert await api.call("GET", "/policies/Lamp/version") == {
        "policyVersions": [
            {"versionId": "2", "isDefaultVersion": False, "createDate": CREATED_AT},
            {"versionId": "1", "isDefaultVersion": True, "createDate": CREATED_AT},
        ]
    }
    await api.call("DELETE", "/policies/Lamp/version/2")
    assert await api.call("DELETE", "/policies/Lamp") == {}


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_id_that_no_version_bears_is_not_found(api: Api, method: str) -> None:
    await create(api)
    with pytest.raises(ResourceNotFound, match="version=01"):
        await api.call(method, "/policies/Lamp/version/01")


async def test_a_version_id_is_digits(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="policyVersionId"):
        await api.call("GET", "/policies/Lamp/version/v1")


async def test_policies_are_listed_newest_first_in_pages(api: Api) -> None:
    for name in ("b", "c", "a"):
        await create(api, name)

    first = await api.call("GET", "/policies?pageSize=2")
    last = await api.call("GET", f"/policies?pageSize=2&marker={first['nextMarker']}")
    ascending = await api.call("GET", "/policies?isAscendingOrder=true")

    assert [entry["policyName"] for entry in first["policies"] + last["policies"]] == ["a", "c", "b"]
    assert "nextMarker" not in last
    assert ascending["policies"][0] == {
        "policyName": "b",
        "policyArn": "arn:aws:iot:eu-west-1:123456789012:policy/b",
    }
    with pytest.raises(InvalidRequest):
        await api.call("GET", f"/policies?isAscendingOrder=true&marker={first['nextMarker']}")


@pytest.mark.parametrize(
    ("method", "path", "resource"),
    [
        ("POST", "/policies/Lamp", ARN),
        ("GET", "/policies/Lamp", ARN),
        ("DELETE", "/policies/Lamp", ARN),
        ("GET", "/policies", "*"),
        ("POST", "/policies/Lamp/version", ARN),
        ("GET", "/policies/Lamp/version", ARN),
        ("GET", "/policies/Lamp/version/1", ARN),
        ("PATCH", "/policies/Lamp/version/1", ARN),
        ("DELETE", "/policies/Lamp/version/1", ARN),
        ("POST", "/policy-targets/Lamp", ARN),
    ],
)
def test_policies_are_asked_about_the_policy_of_the_path(api: Api, method: str, path: str, resource: str) -> None:
    assert api.resource_of(method, path) == resource
