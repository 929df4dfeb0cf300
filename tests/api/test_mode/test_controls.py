"""The controls of the test mode: clock, reset and seed."""

import json
from datetime import timedelta
from typing import Any

import pytest
from botocore.session import get_session
from msgspec.structs import fields
from tests.support.devices.device_edge import new_data_plane
from tests.support.registration.authority import ACCOUNT
from tests.support.registration.own_api import OwnApi, new_own_api

from thingmint.api.service import OPERATIONS
from thingmint.api.test_mode.seeding import member_of
from thingmint.core.errors import InvalidRequest, ServiceUnavailable
from thingmint.core.identifiers import AccountId

OTHER = AccountId("222222222222")


@pytest.fixture
def api() -> OwnApi:
    return new_own_api(new_data_plane())


def step(operation: str, /, **members: object) -> dict[str, object]:
    return {"operation": operation, **members}


async def seeded(api: OwnApi, *operations: object) -> list[dict[str, Any]]:
    answer = await api.call("POST", "/thingmint/test/seed", {"operations": list(operations)})
    outputs: list[dict[str, Any]] = answer["outputs"]
    return outputs


async def test_the_clock_moves_and_is_set_right(api: OwnApi) -> None:
    began = api.clock.now()
    moved = await api.call("POST", "/thingmint/test/clock", {"advanceSeconds": 3600})
    assert moved == {"now": (began + timedelta(hours=1)).timestamp()}
    assert await api.call("POST", "/thingmint/test/clock") == moved
    assert await api.call("POST", "/thingmint/test/clock", {"setRight": True}) == {"now": began.timestamp()}
    back = await api.call("POST", "/thingmint/test/clock", {"advanceSeconds": -60})
    assert back == {"now": (began - timedelta(minutes=1)).timestamp()}


@pytest.mark.parametrize("seconds", [1e12, -1e12, "soon"])
async def test_what_is_no_duration_moves_no_clock(api: OwnApi, seconds: object) -> None:
    with pytest.raises(InvalidRequest):
        await api.call("POST", "/thingmint/test/clock", {"advanceSeconds": seconds})
    assert api.clock.ahead == timedelta(0)


async def test_a_reset_leaves_the_own_accounts_access_keys(api: OwnApi) -> None:
    for account in (ACCOUNT, OTHER):
        await api.call("POST", "/thingmint/accounts", {"account": account})
        await seeded(api, step("CreateThing", input={"thingName": "a"}, account=account))
    await seeded(api, step("CreateThing", input={"thingName": "a"}, account="333333333333"))
    api.clock.advance(timedelta(hours=1))
    assert await api.call("POST", "/thingmint/test/reset") == {"removedAccounts": 2, "removedRows": 4}
    assert [key.account for key in api.store.tables.access_keys.values()] == [ACCOUNT]
    assert api.store.tables.rows("thing") == []
    assert api.clock.ahead == timedelta(0)


async def test_a_reset_goes_through_all_pages_of_accounts(api: OwnApi) -> None:
    for number in range(101):
        await api.call("POST", "/thingmint/accounts", {"account": f"{number:012}"})
    assert await api.call("POST", "/thingmint/test/reset") == {"removedAccounts": 101, "removedRows": 101}


async def test_a_seed_is_carried_out_in_order_and_refers_to_outputs(api: OwnApi) -> None:
    resource = "arn:aws:iot:*:*:client/${iot:ClientId}"
    policy = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": resource}]}
    )
    outputs = await seeded(
        api,
        step("CreateKeysAndCertificate", input={"setAsActive": True}, **{"as": "pump"}),
        step("CreatePolicy", input={"policyName": "p", "policyDocument": policy, "tags": [{"Key": "k", "Value": "v"}]}),
        step("AttachPolicy", input={"policyName": "p", "target": "${pump.certificateArn}"}),
        step("CreateThing", input={"thingName": "a"}),
        step("AttachThingPrincipal", input={"thingName": "a", "principal": "${pump.certificateArn}"}),
    )
    assert outputs[1]["policyDocument"] == policy
    assert api.store.tables.certificates[0].status == "ACTIVE"
    listed = await api.call("GET", "/things/a/principals")
    assert listed["principals"] == [outputs[0]["certificateArn"]]


async def test_a_reference_to_no_step_of_the_seed_stays_as_it_is(api: OwnApi) -> None:
    described = {"thingGroupDescription": "${nobody.here}"}
    await seeded(api, step("CreateThingGroup", input={"thingGroupName": "g", "thingGroupProperties": described}))
    stored = await api.call("GET", "/thing-groups/g")
    assert stored["thingGroupProperties"]["thingGroupDescription"] == "${nobody.here}"


async def test_members_have_the_names_of_awss_model() -> None:
    models = [get_session().get_service_model(name) for name in ("iot", "iot-data")]
    known = {
        name: set(model.operation_model(name).input_shape.members)
        for model in models
        for name in model.operation_names
        if model.operation_model(name).input_shape is not None
    }
    ours = {each.name: {member_of(field) for field in fields(each.request)} for each in OPERATIONS if each.request}
    assert [name for name, members in ours.items() if members - known.get(name, set())] == []


async def test_a_seed_sends_messages_and_headers(api: OwnApi) -> None:
    given = {
        "topic": "a/b",
        "qos": 1,
        "retain": True,
        "payload": "on",
        "payloadFormatIndicator": "UTF8_DATA",
    }
    assert await seeded(api, step("Publish", input=given)) == [{}]
    (message,) = api.api.data_plane.edge_of(next(iter(api.api.data_plane.edges))).published
    assert (message.topic, message.payload, message.qos, message.retain, message.is_text) == (
        "a/b",
        b"on",
        1,
        True,
        True,
    )


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{",
        '{"operations": {}}',
        '{"operations": [], "more": 1}',
        json.dumps({"operations": [{}] * 10_001}),
    ],
)
async def test_what_is_no_seed_is_refused(api: OwnApi, document: str) -> None:
    with pytest.raises(InvalidRequest):
        await api.api.call("POST", "/thingmint/test/seed", document.encode())


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("text", "no object"),
        ({}, "operation"),
        (step("CreateThing", input=[]), "input is no object"),
        (step("CreateThing", inputs={}), "unknown members inputs"),
        (step("CreateThink"), "no such operation"),
        (step("SearchIndex"), "no such operation"),
        (step("CreateThing", input={"thingname": "a"}), "no members thingname"),
        (step("CreateThing", input={"thingName": "a"}, account="12"), "twelve digits"),
    ],
)
async def test_a_step_that_is_none_is_named_before_anything_is_done(api: OwnApi, broken: object, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        await seeded(api, step("CreateThing", input={"thingName": "first"}), broken)
    assert api.store.tables.rows("thing") == []


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (step("CreateThing", input={}), "Step 2 of the seed .CreateThing"),
        (step("DescribeThing", input={"thingName": "b"}), "Step 2 of the seed .DescribeThing"),
        (step("DescribeThing", input={"thingName": "${first.nothing.there}"}), "is no text in the output of first"),
    ],
)
async def test_a_step_that_fails_ends_the_seed_and_is_named(api: OwnApi, failing: object, reason: str) -> None:
    first = step("CreateThing", input={"thingName": "a"}, **{"as": "first"})
    with pytest.raises(InvalidRequest, match=reason):
        await seeded(api, first, failing, step("CreateThing", input={"thingName": "c"}))
    assert len(api.store.tables.rows("thing")) == 1


async def test_a_service_that_has_no_room_says_so_and_not_that_the_seed_is_wrong(api: OwnApi) -> None:
    api.store.refuse_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await seeded(api, step("CreateThing", input={"thingName": "a", "attributePayload": {"attributes": {"x": "y"}}}))
