"""The operations of thing types."""

import json
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.databases.memory_store import MemoryStore
from tests.support.devices.device_edge import new_data_plane
from tests.support.registration.api import Api, build_router
from tests.support.registration.authority import new_authority

from thingmint.core.errors import InvalidRequest

LIGHT = "arn:aws:iot:eu-west-1:123456789012:thingtype/light"
CREATED_AT = 1541022751.983
PROPERTIES = {
    "thingTypeDescription": "gives light",
    "searchableAttributes": ["wattage", "colour"],
    "mqtt5Configuration": {
        "propagatingAttributes": [
            {"userPropertyKey": "colour", "thingAttribute": "colour"},
            {"userPropertyKey": "client", "connectionAttribute": "iot:ClientId"},
        ]
    },
}


async def create(api: Api, **properties: object) -> Any:
    return await api.call("POST", "/thing-types/light", json.dumps({"thingTypeProperties": properties}).encode())


async def test_a_described_type_shows_what_it_has(api: Api) -> None:
    created = await create(api, **PROPERTIES)

    assert created.keys() == {"thingTypeName", "thingTypeArn", "thingTypeId"}
    assert await api.call("GET", "/thing-types/light") == {
        "thingTypeName": "light",
        "thingTypeId": created["thingTypeId"],
        "thingTypeArn": LIGHT,
        "thingTypeProperties": PROPERTIES,
        "thingTypeMetadata": {"deprecated": False, "creationDate": CREATED_AT},
    }


async def test_a_bare_type_has_no_searchable_attributes(api: Api) -> None:
    await api.call("POST", "/thing-types/light")

    assert (await api.call("GET", "/thing-types/light"))["thingTypeProperties"] == {"searchableAttributes": []}


async def test_a_deprecated_type_tells_since_when(api: Api) -> None:
    await create(api)

    await api.call("POST", "/thing-types/light/deprecate")
    deprecated = await api.call("GET", "/thing-types/light")
    await api.call("POST", "/thing-types/light/deprecate", b'{"undoDeprecate": true}')
    reinstated = await api.call("GET", "/thing-types/light")

    metadata = {"deprecated": True, "deprecationDate": CREATED_AT, "creationDate": CREATED_AT}
    assert deprecated["thingTypeMetadata"] == metadata
    assert reinstated["thingTypeMetadata"] == {"deprecated": False, "creationDate": CREATED_AT}


async def test_a_type_is_deleted() -> None:
    store = MemoryStore()
    authority = replace(new_authority(store), thing_type_deletable_after=timedelta(0))
    api = Api(build_router(authority, "devices.example", new_data_plane()), store)
    await create(api)
    await api.call("POST", "/thing-types/light/deprecate")

    assert await api.call("DELETE", "/thing-types/light") == {}
    assert await api.call("GET", "/thing-types") == {"thingTypes": []}


async def test_a_type_is_updated(api: Api) -> None:
    await create(api, **PROPERTIES)

    for unchanging in (b"{}", b'{"thingTypeProperties":{}}', b'{"thingTypeProperties":{"mqtt5Configuration":{}}}'):
        assert await api.call("PATCH", "/thing-types/light", unchanging) == {}
        assert (await api.call("GET", "/thing-types/light"))["thingTypeProperties"] == PROPERTIES

    propagating = [{"userPropertyKey": "w", "thingAttribute": "wattage"}]
    changed = {"thingTypeProperties": {"mqtt5Configuration": {"propagatingAttributes": propagating}}}
    assert await api.call("PATCH", "/thing-types/light", json.dumps(changed).encode()) == {}
    after = {**PROPERTIES, "mqtt5Configuration": {"propagatingAttributes": propagating}}
    assert (await api.call("GET", "/thing-types/light"))["thingTypeProperties"] == after

    empty = b'{"thingTypeProperties":{"mqtt5Configuration":{"propagatingAttributes":[]}}}'
    await api.call("PATCH", "/thing-types/light", empty)
    assert "mqtt5Configuration" not in (await api.call("GET", "/thing-types/light"))["thingTypeProperties"]


async def test_searchable_attributes_are_a_set(api: Api) -> None:
    created = await create(api, searchableAttributes=["site", "area", "site"])
    assert await create(api, searchableAttributes=["area", "site"]) == created
    properties = (await api.call("GET", "/thing-types/light"))["thingTypeProperties"]
    assert properties["searchableAttributes"] == ["site", "area"]
    same = {"thingTypeProperties": {"searchableAttributes": ["area", "site"]}}
    assert await api.call("PATCH", "/thing-types/light", json.dumps(same).encode()) == {}


async def test_a_propagating_attribute_has_a_key(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="userPropertyKey"):
        await create(api, mqtt5Configuration={"propagatingAttributes": [{"thingAttribute": "a"}]})


async def test_a_type_has_fifty_propagating_attributes_at_most(api: Api) -> None:
    sources = [{"userPropertyKey": f"k{number}", "thingAttribute": f"a{number}"} for number in range(51)]
    await create(api, mqtt5Configuration={"propagatingAttributes": sources[1:]})
    many = {"mqtt5Configuration": {"propagatingAttributes": sources}}
    for method, name in (("POST", "heater"), ("PATCH", "light")):
        with pytest.raises(InvalidRequest, match="at most 50 propagating attributes"):
            await api.call(method, f"/thing-types/{name}", json.dumps({"thingTypeProperties": many}).encode())
    properties = (await api.call("GET", "/thing-types/light"))["thingTypeProperties"]
    assert properties["mqtt5Configuration"] == {"propagatingAttributes": sources[1:]}


async def test_types_are_listed(api: Api) -> None:
    for name in ("light", "heater", "fan"):
        await api.call("POST", f"/thing-types/{name}")

    first = await api.call("GET", "/thing-types?maxResults=2")
    last = await api.call("GET", f"/thing-types?maxResults=2&nextToken={first['nextToken']}")
    named = await api.call("GET", "/thing-types?thingTypeName=light")

    assert [each["thingTypeName"] for each in first["thingTypes"] + last["thingTypes"]] == ["light", "heater", "fan"]
    assert "nextToken" not in last
    assert named == {
        "thingTypes": [
            {
                "thingTypeName": "light",
                "thingTypeArn": LIGHT,
                "thingTypeProperties": {"searchableAttributes": []},
                "thingTypeMetadata": {"deprecated": False, "creationDate": CREATED_AT},
            }
        ]
    }
    with pytest.raises(InvalidRequest):
        await api.call("GET", f"/thing-types?thingTypeName=light&nextToken={first['nextToken']}")


@pytest.mark.parametrize(
    ("method", "path", "resource"),
    [
        ("POST", "/thing-types/light", LIGHT),
        ("GET", "/thing-types/light", LIGHT),
        ("PATCH", "/thing-types/light", LIGHT),
        ("DELETE", "/thing-types/light", LIGHT),
        ("POST", "/thing-types/light/deprecate", LIGHT),
        ("GET", "/thing-types", "*"),
    ],
)
def test_policies_are_asked_about_the_type(api: Api, method: str, path: str, resource: str) -> None:
    assert api.resources_of(method, path) == (resource,)
