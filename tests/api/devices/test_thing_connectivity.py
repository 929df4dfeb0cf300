"""GetThingConnectivityData, as an edge calls it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.registration.api import Api

from thingmint.api.devices.data_plane import EndedConnection, OpenConnection
from thingmint.api.devices.thing_connectivity import DisconnectReasonValue
from thingmint.core.errors import InvalidRequest, ResourceNotFound
from thingmint.core.identifiers import AccountId
from thingmint.mqtt.events import DisconnectReason

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
OPEN = OpenConnection("lamp", AT, 60, False, 3600, ("192.0.2.7", 40000), ("192.0.2.1", 8883))
ENDED = EndedConnection("lamp", AT, "CONNECTION_LOST", 60, False, 3600)
SESSION = {"keepAliveDuration": 60, "cleanSession": False, "sessionExpiry": 3600, "clientId": "lamp"}
SOCKETS = {"sourceIp": "192.0.2.7", "sourcePort": 40000, "targetIp": "192.0.2.1", "targetPort": 8883}
WITH_SOCKETS = b'{"includeSocketInformation":true}'


async def connectivity(api: Api, body: bytes = b"", **fields: Any) -> Any:  # parsed JSON
    return await api.call("POST", "/things/lamp/connectivity-data", body, **fields)


@pytest.fixture(autouse=True)
async def _lamp(api: Api) -> None:
    await api.call("POST", "/things/lamp")


async def test_a_thing_that_was_never_connected_is_not(api: Api) -> None:
    assert await connectivity(api) == {"thingName": "lamp", "connected": False}


@pytest.mark.parametrize(
    ("body", "shown"), [(b"", {}), (b"{}", {}), (b'{"includeSocketInformation":false}', {}), (WITH_SOCKETS, SOCKETS)]
)
async def test_a_connected_thing_is_described_with_sockets_for_those_who_ask(
    api: Api, body: bytes, shown: dict[str, object]
) -> None:
    api.edge.connections["lamp"] = OPEN
    # What was before it counts no more.
    api.edge.ended["lamp"] = ENDED

    expected = {"thingName": "lamp", "connected": True, "timestamp": 1767323045.678, **SESSION, **shown}
    assert await connectivity(api, body) == expected


async def test_a_thing_that_has_left_is_described_with_its_reason_and_without_sockets(api: Api) -> None:
    api.edge.ended["lamp"] = ENDED

    expected = {"connected": False, "timestamp": 1767323045.678, "disconnectReason": "CONNECTION_LOST", **SESSION}
    assert await connectivity(api, WITH_SOCKETS) == {"thingName": "lamp", **expected}


def test_every_reason_of_the_gateway_is_one_of_the_api() -> None:
    assert {str(reason) for reason in DisconnectReason} <= {str(value) for value in DisconnectReasonValue}


async def test_a_client_that_is_no_thing_and_a_thing_of_another_account_are_not_found(api: Api) -> None:
    api.edge.connections["stranger"] = OPEN
    with pytest.raises(ResourceNotFound):
        await api.call("POST", "/things/stranger/connectivity-data")
    with pytest.raises(ResourceNotFound):
        await connectivity(api, account=AccountId("222222222222"))


async def test_what_is_no_thing_name_and_no_flag_is_refused(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="thingName"):
        await api.call("POST", "/things/a%2Fb/connectivity-data")
    with pytest.raises(InvalidRequest, match="includeSocketInformation"):
        await connectivity(api, b'{"includeSocketInformation":"true"}')


@pytest.mark.parametrize(("body", "asked"), [(b"", "false"), (WITH_SOCKETS, "true"), (b"[", "false")])
def test_policies_are_asked_about_the_thing_and_the_sockets(api: Api, body: bytes, asked: str) -> None:
    (needed,) = api.permissions_of("POST", "/things/lamp/connectivity-data", body)

    assert (needed.action, needed.resource.rpartition(":")[2]) == ("iot:GetThingConnectivityData", "thing/lamp")
    assert needed.context == {"iot:IncludeSocketInformation": (asked,)}
