"""The operations on connections of devices, as an edge calls them."""

from datetime import UTC, datetime

import pytest
from tests.support.registration.api import Api

from thingmint.api.devices.data_plane import OpenConnection
from thingmint.api.wire.errors import RequestTooLarge
from thingmint.core.errors import InvalidRequest, ResourceNotFound

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


@pytest.fixture
def lamp(api: Api) -> OpenConnection:
    connection = OpenConnection("lamp", AT, 60, False, 3600, ("192.0.2.7", 40000), ("192.0.2.1", 8883))
    api.edge.connections["lamp"] = connection
    return connection


@pytest.mark.parametrize(
    ("query", "asked"),
    [("", (False, False)), ("?cleanSession=TRUE", (True, False)), ("?preventWillMessage=true", (False, True))],
)
@pytest.mark.usefixtures("lamp")
async def test_a_client_is_disconnected(api: Api, query: str, asked: tuple[bool, bool]) -> None:
    assert await api.call("DELETE", f"/connections/lamp{query}") == {}

    assert api.edge.disconnected == [("lamp", *asked)]


@pytest.mark.parametrize("method", ["DELETE", "GET"])
async def test_a_client_that_is_not_connected_is_not_found(api: Api, method: str) -> None:
    with pytest.raises(ResourceNotFound):
        await api.call(method, "/connections/lamp")


@pytest.mark.parametrize("client_id", ["%24aws", "x" * 129])
async def test_what_is_no_client_id_is_refused(api: Api, client_id: str) -> None:
    with pytest.raises(InvalidRequest, match="clientId"):
        await api.call("DELETE", f"/connections/{client_id}")


@pytest.mark.usefixtures("lamp")
async def test_a_connection_is_described_with_sockets_for_those_who_ask(api: Api) -> None:
    plain = {
        "connected": True,
        "cleanSession": False,
        "keepAliveDuration": 60,
        "connectedSince": 1767323045678,
        "sessionExpiry": 3600,
        "clientId": "lamp",
    }
    sockets = {"sourceIp": "192.0.2.7", "sourcePort": 40000, "targetIp": "192.0.2.1", "targetPort": 8883}

    assert await api.call("GET", "/connections/lamp") == plain
    assert await api.call("GET", "/connections/lamp?includeSocketInformation=true") == plain | sockets


@pytest.mark.parametrize(
    ("query", "confirmed_within"),
    [("", None), ("&confirmation=true", 5), ("&confirmation=true&timeout=15", 15), ("&timeout=99", None)],
)
async def test_a_message_is_sent_to_one_client(api: Api, query: str, confirmed_within: float | None) -> None:
    answer = await api.call("POST", f"/connections/a%2Fb/messages?topic=t%2Fu{query}", b"\xff")

    assert answer == {"message": "OK", "traceId": "8c2ab6d1-0000-4000-8000-000000000000"}
    ((client_id, message, within),) = api.edge.sent
    assert (client_id, message.topic, message.payload, within) == ("a/b", "t/u", b"\xff", confirmed_within)


@pytest.mark.parametrize("seconds", [0, 16, -1])
async def test_nobody_waits_longer_than_aws_does(api: Api, seconds: int) -> None:
    with pytest.raises(InvalidRequest, match="between 1 and 15"):
        await api.call("POST", f"/connections/a/messages?topic=t&confirmation=true&timeout={seconds}")


async def test_a_message_to_one_client_has_a_topic_and_a_limit(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="topic"):
        await api.call("POST", "/connections/a/messages", b"x")
    with pytest.raises(RequestTooLarge):
        await api.call("POST", "/connections/a/messages?topic=t", b"x" * (128 * 1024 + 1))

    assert api.edge.sent == []


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("DELETE", "/connections/a%2Fb", "iot:DeleteConnection"),
        ("GET", "/connections/a%2Fb", "iot:GetConnection"),
        ("POST", "/connections/a%2Fb/messages", "iot:SendDirectMessage"),
    ],
)
def test_policies_are_asked_about_the_client(api: Api, method: str, path: str, action: str) -> None:
    (needed,) = api.permissions_of(method, path)

    assert (needed.action, needed.resource.partition(":client/")[2]) == (action, "a/b")
