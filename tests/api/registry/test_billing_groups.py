"""The operations of billing groups and of the things in them."""

import json
from typing import Any

import pytest
from tests.support.registration.api import Api

from thingmint.core.errors import VersionMismatch

OURS = "arn:aws:iot:eu-west-1:123456789012"
WARD, LAMP = f"{OURS}:billinggroup/ward", f"{OURS}:thing/lamp"


async def put(api: Api, operation: str, **members: object) -> Any:
    return await api.call("PUT", f"/billing-groups/{operation}", json.dumps(members).encode())


async def test_a_described_group_shows_what_it_has(api: Api) -> None:
    properties = {"billingGroupDescription": "pays"}
    created = await api.call(
        "POST", "/billing-groups/ward", json.dumps({"billingGroupProperties": properties}).encode()
    )

    assert created.keys() == {"billingGroupName", "billingGroupArn", "billingGroupId"}
    assert await api.call("GET", "/billing-groups/ward") == {
        "billingGroupName": "ward",
        "billingGroupId": created["billingGroupId"],
        "billingGroupArn": WARD,
        "version": 1,
        "billingGroupProperties": properties,
        "billingGroupMetadata": {"creationDate": 1541022751.983},
    }


async def test_an_update_tells_the_new_version(api: Api) -> None:
    await api.call("POST", "/billing-groups/ward")
    update = b'{"billingGroupProperties": {"billingGroupDescription": "pays"}, "expectedVersion": 1}'

    assert await api.call("PATCH", "/billing-groups/ward", update) == {"version": 2}

    with pytest.raises(VersionMismatch):
        await api.call("PATCH", "/billing-groups/ward", update)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [({}, {}), ({"billingGroupDescription": "pays not"}, {"billingGroupDescription": "pays not"})],
)
async def test_properties_of_an_update_are_the_whole_new_state(
    api: Api, properties: dict[str, str], expected: dict[str, str]
) -> None:
    created = {"billingGroupProperties": {"billingGroupDescription": "pays"}}
    await api.call("POST", "/billing-groups/ward", json.dumps(created).encode())
    await api.call("PATCH", "/billing-groups/ward", json.dumps({"billingGroupProperties": properties}).encode())
    assert (await api.call("GET", "/billing-groups/ward"))["billingGroupProperties"] == expected


async def test_a_group_is_deleted_in_the_expected_version(api: Api) -> None:
    await api.call("POST", "/billing-groups/ward")
    with pytest.raises(VersionMismatch):
        await api.call("DELETE", "/billing-groups/ward?expectedVersion=2")
    assert await api.call("DELETE", "/billing-groups/ward?expectedVersion=1") == {}


async def test_groups_are_listed(api: Api) -> None:
    for name in ("ward", "lab", "wing"):
        await api.call("POST", f"/billing-groups/{name}")

    first = await api.call("GET", "/billing-groups?maxResults=2")
    last = await api.call("GET", f"/billing-groups?maxResults=2&nextToken={first['nextToken']}")

    assert first["billingGroups"][1] == {"groupName": "ward", "groupArn": WARD}
    assert [group["groupName"] for group in first["billingGroups"] + last["billingGroups"]] == ["lab", "ward", "wing"]
    filtered = await api.call("GET", "/billing-groups?namePrefixFilter=wi")
    assert [group["groupName"] for group in filtered["billingGroups"]] == ["wing"]


async def test_a_thing_belongs_to_a_group_until_it_does_not(api: Api) -> None:
    await api.call("POST", "/billing-groups/ward")
    await api.call("POST", "/things/lamp")
    await api.call("POST", "/things/fan", b'{"billingGroupName": "ward"}')

    await put(api, "addThingToBillingGroup", billingGroupName="ward", thingArn=LAMP)
    first = await api.call("GET", "/billing-groups/ward/things?maxResults=1")
    last = await api.call("GET", f"/billing-groups/ward/things?nextToken={first['nextToken']}")
    await put(api, "removeThingFromBillingGroup", billingGroupArn=WARD, thingName="lamp")

    assert first["things"] + last["things"] == ["lamp", "fan"]
    assert await api.call("GET", "/billing-groups/ward/things") == {"things": ["fan"]}


@pytest.mark.parametrize(
    ("method", "path", "members", "resources"),
    [
        ("POST", "/billing-groups/ward", {}, (WARD,)),
        ("GET", "/billing-groups/ward", {}, (WARD,)),
        ("PATCH", "/billing-groups/ward", {}, (WARD,)),
        ("DELETE", "/billing-groups/ward", {}, (WARD,)),
        ("GET", "/billing-groups", {}, ("*",)),
        ("GET", "/billing-groups/ward/things", {}, (WARD,)),
        (
            "PUT",
            "/billing-groups/addThingToBillingGroup",
            {"billingGroupName": "ward", "thingName": "lamp"},
            (WARD, LAMP),
        ),
        (
            "PUT",
            "/billing-groups/removeThingFromBillingGroup",
            {"billingGroupArn": WARD, "thingArn": LAMP},
            (WARD, LAMP),
        ),
    ],
)
def test_policies_are_asked_about_groups_and_things(
    api: Api, method: str, path: str, members: object, resources: tuple[str, ...]
) -> None:
    assert api.resources_of(method, path, json.dumps(members).encode()) == resources
