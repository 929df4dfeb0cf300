"""The operations of thing groups and of the things in them."""

import json
from typing import Any

import pytest
from tests.support.registration.api import Api

from thingmint.core.errors import InvalidRequest, ResourceNotFound, VersionMismatch

OURS = "arn:aws:iot:eu-west-1:123456789012"
LAMPS, LAMP = f"{OURS}:thinggroup/lamps", f"{OURS}:thing/lamp"


async def put(api: Api, operation: str, **members: object) -> Any:
    return await api.call("PUT", f"/thing-groups/{operation}", json.dumps(members).encode())


async def create(api: Api, name: str, parent: str | None = None, **properties: object) -> Any:
    members = {"parentGroupName": parent, "thingGroupProperties": properties or None}
    return await api.call("POST", f"/thing-groups/{name}", json.dumps(members).encode())


async def names(api: Api, query: str = "") -> list[str]:
    return [group["groupName"] for group in (await api.call("GET", f"/thing-groups{query}"))["thingGroups"]]


async def test_a_described_group_shows_what_it_has(api: Api) -> None:
    await create(api, "house")
    await create(api, "attic", "house")
    properties = {"thingGroupDescription": "all lamps", "attributePayload": {"attributes": {"floor": "3"}}}

    created = await create(api, "lamps", "attic", **properties)

    assert created.keys() == {"thingGroupName", "thingGroupArn", "thingGroupId"}
    assert await api.call("GET", "/thing-groups/lamps") == {
        "thingGroupName": "lamps",
        "thingGroupId": created["thingGroupId"],
        "thingGroupArn": LAMPS,
        "version": 1,
        "thingGroupProperties": properties,
        "thingGroupMetadata": {
            "parentGroupName": "attic",
            "rootToParentThingGroups": [
                {"groupName": "house", "groupArn": f"{OURS}:thinggroup/house"},
                {"groupName": "attic", "groupArn": f"{OURS}:thinggroup/attic"},
            ],
            "creationDate": 1541022751.983,
        },
    }


async def test_a_bare_group_shows_nothing_that_it_has_not(api: Api) -> None:
    await api.call("POST", "/thing-groups/lamps")

    described = await api.call("GET", "/thing-groups/lamps")

    assert described["thingGroupProperties"] == {}
    assert described["thingGroupMetadata"].keys() == {"creationDate"}


async def test_an_update_tells_the_new_version(api: Api) -> None:
    await create(api, "lamps", thingGroupDescription="all")
    update = b'{"thingGroupProperties": {"attributePayload": {"attributes": {"floor": "3"}}}, "expectedVersion": 1}'

    assert await api.call("PATCH", "/thing-groups/lamps", update) == {"version": 2}

    assert (await api.call("GET", "/thing-groups/lamps"))["thingGroupProperties"] == {
        "attributePayload": {"attributes": {"floor": "3"}},
    }
    with pytest.raises(VersionMismatch):
        await api.call("PATCH", "/thing-groups/lamps", update)


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({"thingGroupDescription": "some"}, {"thingGroupDescription": "some"}),
        (
            {"attributePayload": {"attributes": {"wing": "east"}}},
            {"attributePayload": {"attributes": {"wing": "east"}}},
        ),
        (
            {"attributePayload": {"attributes": {"wing": "east"}, "merge": True}},
            {"attributePayload": {"attributes": {"floor": "3", "wing": "east"}}},
        ),
        ({"attributePayload": {"merge": True}}, {"attributePayload": {"attributes": {"floor": "3"}}}),
        ({"attributePayload": {"attributes": {}}}, {}),
        ({"attributePayload": {}}, {}),
        ({}, {}),
    ],
)
async def test_properties_of_an_update_are_the_whole_new_state(
    api: Api, properties: dict[str, object], expected: dict[str, object]
) -> None:
    await create(api, "lamps", thingGroupDescription="all", attributePayload={"attributes": {"floor": "3"}})
    await api.call("PATCH", "/thing-groups/lamps", json.dumps({"thingGroupProperties": properties}).encode())
    after = (await api.call("GET", "/thing-groups/lamps"))["thingGroupProperties"]
    assert {name: value for name, value in after.items() if value != {"attributes": {}}} == expected


async def test_a_group_is_deleted_in_the_expected_version(api: Api) -> None:
    await create(api, "lamps")
    with pytest.raises(VersionMismatch):
        await api.call("DELETE", "/thing-groups/lamps?expectedVersion=2")
    assert await api.call("DELETE", "/thing-groups/lamps?expectedVersion=1") == {}


async def test_groups_are_listed(api: Api) -> None:
    for name, parent in (("house", None), ("attic", "house"), ("box", "attic"), ("garden", None)):
        await create(api, name, parent)

    assert await names(api) == ["attic", "box", "garden", "house"]
    assert await names(api, "?recursive=false") == ["garden", "house"]
    assert await names(api, "?parentGroup=house") == ["attic"]
    assert await names(api, "?parentGroup=house&recursive=true") == ["attic", "box"]
    assert await names(api, "?namePrefixFilter=b") == ["box"]
    first = await api.call("GET", "/thing-groups?maxResults=3")
    assert first["thingGroups"][0] == {"groupName": "attic", "groupArn": f"{OURS}:thinggroup/attic"}
    assert await names(api, f"?nextToken={first['nextToken']}") == ["house"]
    with pytest.raises(InvalidRequest):
        await names(api, f"?recursive=true&nextToken={first['nextToken']}")


async def test_a_thing_joins_and_leaves_by_names_and_arns(api: Api) -> None:
    await create(api, "lamps")
    await api.call("POST", "/things/lamp")

    await put(api, "addThingToThingGroup", thingGroupName="lamps", thingName="lamp", overrideDynamicGroups=True)
    assert await api.call("GET", "/things/lamp/thing-groups") == {
        "thingGroups": [{"groupName": "lamps", "groupArn": LAMPS}]
    }
    assert await api.call("GET", "/thing-groups/lamps/things") == {"things": ["lamp"]}
    await put(api, "removeThingFromThingGroup", thingGroupArn=LAMPS, thingArn=LAMP)
    assert await api.call("GET", "/thing-groups/lamps/things") == {"things": []}
    await put(api, "addThingToThingGroup", thingGroupName="lamps", thingGroupArn=LAMPS, thingName="lamp", thingArn=LAMP)

    assert await api.call("GET", "/thing-groups/lamps/things?recursive=true") == {"things": ["lamp"]}


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"thingName": "lamp"}, "Either thingGroupName or thingGroupArn must be given"),
        ({"thingGroupName": "lamps"}, "Either thingName or thingArn must be given"),
        ({"thingGroupName": "lamps", "thingArn": LAMPS}, "thingArn is not the ARN of such a resource"),
        ({"thingGroupName": "lamps", "thingArn": f"{OURS}:thing/"}, "Either thingName or thingArn must be given"),
        ({"thingGroupName": "lamps", "thingArn": f"{OURS}:thing/a b"}, "the name of a thing matches"),
        (
            {"thingGroupName": "lamps", "thingName": "lamp", "thingArn": f"{OURS}:thing/fan"},
            "thingName and thingArn name different resources",
        ),
        ({"thingGroupName": "lamps", "thingArn": LAMP.replace("1234", "4321")}, "in this account and region"),
    ],
)
async def test_group_and_thing_must_be_named(api: Api, members: dict[str, str], reason: str) -> None:
    for operation in ("addThingToThingGroup", "removeThingFromThingGroup"):
        with pytest.raises(InvalidRequest, match=reason):
            await put(api, operation, **members)


async def test_a_thing_moves_between_groups_at_once(api: Api) -> None:
    for name in ("a", "b", "c"):
        await create(api, name)
    await api.call("POST", "/things/lamp")
    await put(api, "updateThingGroupsForThing", thingName="lamp", thingGroupsToAdd=["a", "b"])

    await put(api, "updateThingGroupsForThing", thingName="lamp", thingGroupsToAdd=["c"], thingGroupsToRemove=["a"])
    with pytest.raises(ResourceNotFound):
        await put(api, "updateThingGroupsForThing", thingName="lamp", thingGroupsToAdd=["a", "none"])
    with pytest.raises(InvalidRequest, match="thingName must be given"):
        await put(api, "updateThingGroupsForThing", thingGroupsToAdd=["a"])

    first = await api.call("GET", "/things/lamp/thing-groups?maxResults=1")
    last = await api.call("GET", f"/things/lamp/thing-groups?nextToken={first['nextToken']}")
    assert [group["groupName"] for group in first["thingGroups"] + last["thingGroups"]] == ["b", "c"]


async def test_things_below_a_group_are_listed_page_by_page(api: Api) -> None:
    await create(api, "house")
    await create(api, "attic", "house")
    for number, group in enumerate(("attic", "house", "attic")):
        await api.call("POST", f"/things/t{number}")
        await put(api, "addThingToThingGroup", thingGroupName=group, thingName=f"t{number}")

    query = "/thing-groups/house/things?recursive=true&maxResults=2"
    first = await api.call("GET", query)
    last = await api.call("GET", f"{query}&nextToken={first['nextToken']}")

    assert first["things"] + last["things"] == ["t1", "t0", "t2"]
    with pytest.raises(InvalidRequest):
        await api.call("GET", f"/thing-groups/house/things?nextToken={first['nextToken']}")


@pytest.mark.parametrize(
    ("method", "path", "members", "resources"),
    [
        ("POST", "/thing-groups/lamps", {}, (LAMPS,)),
        ("GET", "/thing-groups/lamps", {}, (LAMPS,)),
        ("PATCH", "/thing-groups/lamps", {}, (LAMPS,)),
        ("DELETE", "/thing-groups/lamps", {}, (LAMPS,)),
        ("GET", "/thing-groups", {}, ("*",)),
        ("GET", "/thing-groups/lamps/things", {}, (LAMPS,)),
        ("GET", "/things/lamp/thing-groups", {}, (LAMP,)),
        (
            "PUT",
            "/thing-groups/addThingToThingGroup",
            {"thingGroupName": "lamps", "thingArn": LAMP},
            (LAMPS, LAMP),
        ),
        (
            "PUT",
            "/thing-groups/removeThingFromThingGroup",
            {"thingGroupArn": LAMPS, "thingName": "lamp"},
            (LAMPS, LAMP),
        ),
        ("PUT", "/thing-groups/addThingToThingGroup", {"thingGroupName": 1, "thingArn": ""}, ("*", "*")),
        (
            "PUT",
            "/thing-groups/updateThingGroupsForThing",
            {"thingName": "lamp", "thingGroupsToAdd": ["lamps", 1], "thingGroupsToRemove": "lamps"},
            (LAMP, LAMPS),
        ),
        ("PUT", "/thing-groups/updateThingGroupsForThing", {}, ("*",)),
    ],
)
def test_policies_are_asked_about_groups_and_things(
    api: Api, method: str, path: str, members: object, resources: tuple[str, ...]
) -> None:
    assert api.resources_of(method, path, json.dumps(members).encode()) == resources
