"""The operations of what is attached to things."""

import json
from typing import Any

import pytest
from tests.support.certificates.signing_requests import csr_pem
from tests.support.registration.api import Api

from thingmint.core.errors import InvalidRequest

OURS = "arn:aws:iot:eu-west-1:123456789012"
LAMP = f"{OURS}:thing/lamp"
MISSING = f"{OURS}:cert/{'ab' * 32}"


def principal(arn: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-amzn-principal", arn.encode())]


async def certificate(api: Api) -> str:
    request = json.dumps({"certificateSigningRequest": csr_pem("p-256")})
    created = await api.call("POST", "/certificates", request.encode())
    arn: str = created["certificateArn"]
    return arn


async def attach(api: Api, arn: str, thing: str = "lamp", query: str = "") -> Any:
    return await api.call("PUT", f"/things/{thing}/principals{query}", headers=principal(arn))


async def test_an_attached_certificate_is_listed_from_both_ends(api: Api) -> None:
    arn = await certificate(api)
    await api.call("POST", "/things/lamp")

    assert await attach(api, arn) == {}

    assert await api.call("GET", "/things/lamp/principals") == {"principals": [arn]}
    assert await api.call("GET", "/things/lamp/principals-v2") == {
        "thingPrincipalObjects": [{"principal": arn, "thingPrincipalType": "NON_EXCLUSIVE_THING"}]
    }
    assert await api.call("GET", "/principals/things", headers=principal(arn)) == {"things": ["lamp"]}
    assert await api.call("GET", "/principals/things-v2", headers=principal(arn)) == {
        "principalThingObjects": [{"thingName": "lamp", "thingPrincipalType": "NON_EXCLUSIVE_THING"}]
    }


async def test_a_detached_certificate_is_gone_from_both_ends(api: Api) -> None:
    arn = await certificate(api)
    await api.call("POST", "/things/lamp")
    await attach(api, arn)

    assert await api.call("DELETE", "/things/lamp/principals", headers=principal(arn)) == {}

    assert await api.call("GET", "/things/lamp/principals") == {"principals": []}
    assert await api.call("GET", "/principals/things", headers=principal(arn)) == {"things": []}


async def test_v2_lists_are_filtered_by_type(api: Api) -> None:
    shared, exclusive = await certificate(api), await certificate(api)
    await api.call("POST", "/things/lamp")
    await attach(api, shared)
    await attach(api, exclusive, query="?thingPrincipalType=EXCLUSIVE_THING")

    query = "?thingPrincipalType=EXCLUSIVE_THING"
    principals = await api.call("GET", f"/things/lamp/principals-v2{query}")
    things = await api.call("GET", f"/principals/things-v2{query}", headers=principal(exclusive))
    none = await api.call("GET", f"/principals/things-v2{query}", headers=principal(shared))

    assert principals["thingPrincipalObjects"] == [{"principal": exclusive, "thingPrincipalType": "EXCLUSIVE_THING"}]
    assert things["principalThingObjects"] == [{"thingName": "lamp", "thingPrincipalType": "EXCLUSIVE_THING"}]
    assert none == {"principalThingObjects": []}


@pytest.mark.parametrize("version", ["", "-v2"])
async def test_lists_go_page_by_page(api: Api, version: str) -> None:
    arn = await certificate(api)
    for name in ("lamp", "fan", "heater"):
        await api.call("POST", f"/things/{name}")
        await attach(api, arn, name)

    first = await api.call("GET", f"/principals/things{version}?maxResults=2", headers=principal(arn))
    query = f"?maxResults=2&nextToken={first['nextToken']}"
    last = await api.call("GET", f"/principals/things{version}{query}", headers=principal(arn))

    key = "things" if not version else "principalThingObjects"
    assert (len(first[key]), len(last[key]), "nextToken" in last) == (2, 1, False)
    for path in (f"/things/lamp/principals{version}", f"/things/fan/principals{version}"):
        with pytest.raises(InvalidRequest, match="marker is not valid for this list"):
            await api.call("GET", f"{path}{query}")


async def test_a_principal_must_be_given(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="'x-amzn-principal'"):
        await api.call("PUT", "/things/lamp/principals")
    with pytest.raises(InvalidRequest, match="EXCLUSIVE_THING, NON_EXCLUSIVE_THING"):
        await attach(api, MISSING, query="?thingPrincipalType=ONE")


@pytest.mark.parametrize(
    ("method", "path", "resource"),
    [
        ("PUT", "/things/lamp/principals", MISSING),
        ("DELETE", "/things/lamp/principals", MISSING),
        ("GET", "/things/lamp/principals", LAMP),
        ("GET", "/things/lamp/principals-v2", LAMP),
        ("GET", "/principals/things", MISSING),
        ("GET", "/principals/things-v2", MISSING),
    ],
)
def test_policies_are_asked_about_the_certificate_or_the_thing(api: Api, method: str, path: str, resource: str) -> None:
    for spelling in (MISSING, MISSING.replace("ab", "AB")):
        assert api.resources_of(method, path, headers=principal(spelling)) == (resource,)


def test_without_a_principal_policies_are_asked_about_everything(api: Api) -> None:
    assert api.resources_of("PUT", "/things/lamp/principals") == ("*",)


def test_policies_know_which_thing_a_certificate_is_attached_to(api: Api) -> None:
    assert api.context_of("PUT", "/things/lamp/principals") == {"iot:thingArn": (LAMP,)}
    assert api.context_of("DELETE", "/things/lamp/principals") == {"iot:thingArn": (LAMP,)}
    assert api.context_of("GET", "/things/lamp/principals") == {}
