"""CreateThing, DescribeThing, UpdateThing, DeleteThing, ListThings."""

import json

import pytest
from tests.support.registration.api import Api

from thingmint.core.errors import InvalidRequest, VersionMismatch

OURS = "arn:aws:iot:eu-west-1:123456789012"


def body(**members: object) -> bytes:
    return json.dumps(members).encode()


def attributes(**values: str) -> dict[str, object]:
    return {"attributes": values}


async def names(api: Api, query: str = "") -> list[str]:
    return [thing["thingName"] for thing in (await api.call("GET", f"/things{query}"))["things"]]


async def test_a_created_thing_is_told_of(api: Api) -> None:
    created = await api.call("POST", "/things/lamp:1")

    assert created.keys() == {"thingName", "thingArn", "thingId"}
    assert (created["thingName"], created["thingArn"]) == ("lamp:1", f"{OURS}:thing/lamp:1")


async def test_a_described_thing_shows_what_it_has(api: Api) -> None:
    await api.call("POST", "/thing-types/light")
    await api.call("POST", "/billing-groups/ward")
    created = await api.call(
        "POST",
        "/things/lamp",
        body(thingTypeName="light", billingGroupName="ward", attributePayload=attributes(colour="red", empty="")),
    )

    assert await api.call("GET", "/things/lamp") == {
        "defaultClientId": "lamp",
        "thingName": "lamp",
        "thingId": created["thingId"],
        "thingArn": f"{OURS}:thing/lamp",
        "thingTypeName": "light",
        "attributes": {"colour": "red"},
        "version": 1,
        "billingGroupName": "ward",
    }


async def test_a_bare_thing_shows_empty_attributes_and_nothing_that_it_has_not(api: Api) -> None:
    await api.call("POST", "/things/lamp", body(attributePayload={}))

    described = await api.call("GET", "/things/lamp")

    assert described["attributes"] == {}
    assert described.keys() == {"defaultClientId", "thingName", "thingId", "thingArn", "attributes", "version"}


async def test_attributes_are_replaced_or_merged(api: Api) -> None:
    await api.call("POST", "/things/lamp", body(attributePayload=attributes(colour="red", wattage="60")))

    await api.call("PATCH", "/things/lamp", body(attributePayload=attributes(colour="blue") | {"merge": True}))
    merged = await api.call("GET", "/things/lamp")
    await api.call("PATCH", "/things/lamp", body(attributePayload=attributes(floor="3"), expectedVersion=2))
    replaced = await api.call("GET", "/things/lamp")
    await api.call("PATCH", "/things/lamp", body(attributePayload={"attributes": {}}))

    assert (merged["attributes"], merged["version"]) == ({"colour": "blue", "wattage": "60"}, 2)
    assert (replaced["attributes"], replaced["version"]) == ({"floor": "3"}, 3)
    assert (await api.call("GET", "/things/lamp"))["attributes"] == {}


async def test_a_type_is_given_and_taken(api: Api) -> None:
    await api.call("POST", "/thing-types/light")
    await api.call("POST", "/things/lamp")

    await api.call("PATCH", "/things/lamp", body(thingTypeName="light"))
    assert (await api.call("GET", "/things/lamp"))["thingTypeName"] == "light"
    await api.call("PATCH", "/things/lamp", body(removeThingType=True))

    assert "thingTypeName" not in await api.call("GET", "/things/lamp")


async def test_a_thing_is_changed_and_deleted_in_the_expected_version(api: Api) -> None:
    await api.call("POST", "/things/lamp")
    with pytest.raises(VersionMismatch):
        await api.call("PATCH", "/things/lamp", body(expectedVersion=2))
    with pytest.raises(VersionMismatch):
        await api.call("DELETE", "/things/lamp?expectedVersion=2")
    assert await api.call("DELETE", "/things/lamp?expectedVersion=1") == {}


async def test_a_name_that_no_thing_may_bear_is_refused(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="'thingName' failed to satisfy constraint"):
        await api.call("POST", "/things/a%2Fb")


async def test_attributes_that_cannot_be_are_refused(api: Api) -> None:
    with pytest.raises(InvalidRequest, match=r"'attributePayload\.attributes\.colour"):
        await api.call("POST", "/things/lamp", body(attributePayload=attributes(colour="re d")))
    assert await names(api) == []


async def test_things_are_listed_with_what_they_have(api: Api) -> None:
    await api.call("POST", "/thing-types/light")
    await api.call("POST", "/things/lamp", body(thingTypeName="light", attributePayload=attributes(colour="red")))
    await api.call("POST", "/things/fan")

    assert await api.call("GET", "/things") == {
        "things": [
            {
                "thingName": "lamp",
                "thingTypeName": "light",
                "thingArn": f"{OURS}:thing/lamp",
                "attributes": {"colour": "red"},
                "version": 1,
            },
            {"thingName": "fan", "thingArn": f"{OURS}:thing/fan", "attributes": {}, "version": 1},
        ]
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?thingTypeName=light", ["lamp-0", "lamp-1"]),
        ("?attributeName=colour&attributeValue=red", ["lamp-0", "fan"]),
        ("?attributeName=colour&attributeValue=red&usePrefixAttributeValue=true", ["lamp-0", "fan", "lamp-1"]),
        ("?attributeName=colour&attributeValue=red&thingTypeName=light", ["lamp-0"]),
        ("?attributeName=colour&attributeValue=&usePrefixAttributeValue=true", ["lamp-0", "fan", "lamp-1"]),
        ("?attributeName=colour", ["lamp-0", "fan", "lamp-1"]),
        ("?usePrefixAttributeValue=true", ["lamp-0", "lamp-1", "fan"]),
    ],
)
async def test_things_are_listed_by_type_and_attribute(api: Api, query: str, expected: list[str]) -> None:
    await api.call("POST", "/thing-types/light")
    for number, colour in enumerate(("red", "redder")):
        described = body(thingTypeName="light", attributePayload=attributes(colour=colour))
        await api.call("POST", f"/things/lamp-{number}", described)
    await api.call("POST", "/things/fan", body(attributePayload=attributes(colour="red")))

    assert await names(api, query) == expected


async def test_a_value_of_no_attribute_filters_nothing(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="attributeValue must be given with an attributeName"):
        await names(api, "?attributeValue=red")


async def test_a_token_belongs_to_its_filters(api: Api) -> None:
    for number in range(3):
        await api.call("POST", f"/things/lamp-{number}", body(attributePayload=attributes(colour="red")))
    query = "?attributeName=colour&attributeValue=red&maxResults=2"
    token = (await api.call("GET", f"/things{query}"))["nextToken"]

    assert await names(api, f"{query}&nextToken={token}") == ["lamp-2"]
    for other in ("?maxResults=2", f"{query}&usePrefixAttributeValue=true", f"{query}&thingTypeName=light"):
        with pytest.raises(InvalidRequest, match="marker is not valid for this list"):
            await names(api, f"{other}&nextToken={token}")
    with pytest.raises(InvalidRequest):
        await names(api, "?nextToken=ä")


@pytest.mark.parametrize(
    ("method", "path", "resources"),
    [
        ("POST", "/things/lamp", (f"{OURS}:thing/lamp",)),
        ("GET", "/things/lamp", (f"{OURS}:thing/lamp",)),
        ("PATCH", "/things/lamp", (f"{OURS}:thing/lamp",)),
        ("DELETE", "/things/lamp", (f"{OURS}:thing/lamp",)),
        ("GET", "/things", ("*",)),
    ],
)
def test_policies_are_asked_about_the_thing(api: Api, method: str, path: str, resources: tuple[str, ...]) -> None:
    assert api.resources_of(method, path) == resources


def test_policies_are_asked_about_the_billing_group_of_a_new_thing(api: Api) -> None:
    body = b'{"billingGroupName": "ward"}'
    assert api.resources_of("POST", "/things/lamp", body) == (f"{OURS}:thing/lamp", f"{OURS}:billinggroup/ward")
