"""Publish and the reading of retained messages, as an edge calls them."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.support.registration.api import Api
from tests.support.registration.authority import REGION

from thingmint.api.devices.data_plane import OpenConnection, RetainedMessage
from thingmint.core.errors import InvalidRequest, OperationUnknown, ResourceNotFound
from thingmint.core.identifiers import AccountId, Scope

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
OTHER = AccountId("999999999999")
PROPERTIES = b"x-amz-mqtt5-user-properties"


def retained(topic: str) -> RetainedMessage:
    return RetainedMessage(topic, b"\xff" * len(topic), 1, AT)


def coded(value: object) -> bytes:
    return base64.b64encode(json.dumps(value).encode())


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"{not json", b"x" * 128 * 1024])
async def test_the_body_is_the_payload_whatever_it_holds(api: Api, body: bytes) -> None:
    assert await api.call("POST", "/topics/a%2Fb", body) == {}

    (message,) = api.edge.published
    assert (message.topic, message.payload, message.qos, message.retain) == ("a/b", body, 0, False)
    assert (message.is_text, message.expires_after, message.user_properties) == (None, None, ())


async def test_no_repr_shows_a_payload(api: Api) -> None:
    await api.call("POST", "/topics/a", b"a secret")

    assert "secret" not in repr(api.edge.published[0])


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("qos=2", "less than or equal to 1"),
        ("qos=-1", "greater than or equal to 0"),
        ("retain=perhaps", "true or false"),
        ("retain=false&retain=true", "more than once"),
        ("messageExpiry=0", "between 1 and 4294967295"),
        ("messageExpiry=4294967296", "between 1 and 4294967295"),
    ],
)
async def test_what_a_message_cannot_be_is_refused(api: Api, query: str, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        await api.call("POST", f"/topics/a?{query}", b"x")

    assert api.edge.published == []


async def test_a_payload_has_a_limit(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="longer than 131072 bytes"):
        await api.call("POST", "/topics/a", b"x" * (128 * 1024 + 1))


@pytest.mark.parametrize("value", [[{"a": "1"}, {"a": "2"}], json.dumps([{"a": "1"}, {"a": "2"}])])
async def test_user_properties_keep_their_order_and_may_come_as_a_text(api: Api, value: object) -> None:
    await api.call("POST", "/topics/a", b"x", headers=[(PROPERTIES, coded(value))])

    assert api.edge.published[0].user_properties == (("a", "1"), ("a", "2"))


@pytest.mark.parametrize(
    "header", [b"!", b"YQ", coded({"a": "1"}), coded([{"a": 1}]), coded(json.dumps("a")), b"/w=="], ids=repr
)
async def test_user_properties_of_another_form_are_refused(api: Api, header: bytes) -> None:
    with pytest.raises(InvalidRequest, match="userProperties must be"):
        await api.call("POST", "/topics/a", b"x", headers=[(PROPERTIES, header)])


async def test_deep_user_properties_are_refused(api: Api) -> None:
    header = base64.b64encode(b"[" * 100_000)
    with pytest.raises(InvalidRequest, match="userProperties must be"):
        await api.call("POST", "/topics/a", b"x", headers=[(PROPERTIES, header)])


async def test_correlation_data_is_base64(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="correlationData must be base64"):
        await api.call("POST", "/topics/a", b"x", headers=[(b"x-amz-mqtt5-correlation-data", b"?")])


@pytest.mark.parametrize(
    ("query", "actions"),
    [
        ("", ["iot:Publish"]),
        ("?retain=false", ["iot:Publish"]),
        ("?retain=true", ["iot:Publish", "iot:RetainPublish"]),
        ("?retain=TRUE", ["iot:Publish", "iot:RetainPublish"]),
    ],
)
def test_policies_are_asked_about_the_topic_and_about_retaining(api: Api, query: str, actions: list[str]) -> None:
    needed = api.permissions_of("POST", f"/topics/a%2Fb{query}")

    assert [each.action for each in needed] == actions
    assert {each.resource.partition(":topic/")[2] for each in needed} == {"a/b"}


async def test_a_retained_message_is_read(api: Api) -> None:
    api.edge.kept["a/b"] = retained("a/b")

    answer = await api.call("GET", "/retainedMessage/a%2Fb")

    assert answer == {"topic": "a/b", "payload": "////", "qos": 1, "lastModifiedTime": 1767323045678}


async def test_a_time_of_storing_that_is_not_known_is_left_out(api: Api) -> None:
    api.edge.kept["a"] = replace(retained("a"), stored_at=None)

    assert await api.call("GET", "/retainedMessage/a") == {"topic": "a", "payload": "/w==", "qos": 1}


async def test_a_topic_without_a_retained_message_is_not_found(api: Api) -> None:
    with pytest.raises(ResourceNotFound):
        await api.call("GET", "/retainedMessage/a")


async def test_retained_messages_are_listed_in_pages(api: Api) -> None:
    api.edge.kept = {topic: retained(topic) for topic in ("b", "a/b", "c")}

    first = await api.call("GET", "/retainedMessage?maxResults=2")
    token = first["nextToken"]
    last = await api.call("GET", f"/retainedMessage?maxResults=2&nextToken={token}")

    assert first["retainedTopics"][0] == {
        "topic": "a/b",
        "payloadSize": 3,
        "qos": 1,
        "lastModifiedTime": 1767323045678,
    }
    assert [each["topic"] for each in first["retainedTopics"] + last["retainedTopics"]] == ["a/b", "b", "c"]
    assert "nextToken" not in last


async def test_a_page_that_is_just_full_is_the_last(api: Api) -> None:
    api.edge.kept = {topic: retained(topic) for topic in "ab"}

    assert "nextToken" not in await api.call("GET", "/retainedMessage?maxResults=2")


async def test_a_token_of_something_else_is_refused(api: Api) -> None:
    with pytest.raises(InvalidRequest):
        await api.call("GET", "/retainedMessage?nextToken=AAAA")


async def test_each_account_reaches_its_own_devices_and_topics_and_no_others(api: Api) -> None:
    other = api.data_plane.edge_of(Scope(OTHER, REGION))
    lamp = OpenConnection("lamp", AT, 60, True, 0, ("192.0.2.7", 40000), ("192.0.2.1", 8883))
    api.edge.kept["a"], api.edge.connections["lamp"] = retained("a"), lamp
    other.kept["b"] = retained("b")

    await api.call("POST", "/topics/a", b"x", account=OTHER)
    await api.call("POST", "/connections/lamp/messages?topic=a", account=OTHER)
    listed = await api.call("GET", "/retainedMessage", account=OTHER)
    for method, path in (
        ("GET", "/retainedMessage/a"),
        ("GET", "/connections/lamp"),
        ("DELETE", "/connections/lamp"),
    ):
        with pytest.raises(ResourceNotFound):
            await api.call(method, path, account=OTHER)

    assert [each["topic"] for each in listed["retainedTopics"]] == ["b"]
    assert (api.edge.published, api.edge.disconnected, api.edge.sent) == ([], [], [])
    assert [message.topic for message in other.published] == ["a"]
    assert [client_id for client_id, _, _ in other.sent] == ["lamp"]


async def test_a_token_of_another_account_is_refused(api: Api) -> None:
    api.edge.kept = {topic: retained(topic) for topic in "ab"}
    token = (await api.call("GET", "/retainedMessage?maxResults=1"))["nextToken"]

    with pytest.raises(InvalidRequest):
        await api.call("GET", f"/retainedMessage?nextToken={token}", account=OTHER)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/things/lamp/shadow", "GetThingShadow"),
        ("POST", "/things/lamp/shadow", "UpdateThingShadow"),
        ("DELETE", "/things/lamp/shadow", "DeleteThingShadow"),
        ("GET", "/api/things/shadow/ListNamedShadowsForThing/lamp", "ListNamedShadowsForThing"),
        ("GET", "/connections/lamp/subscriptions", "ListSubscriptions"),
    ],
)
async def test_what_the_data_plane_has_not_says_so_by_name(api: Api, method: str, path: str, name: str) -> None:
    with pytest.raises(OperationUnknown, match=f"^{name} is not implemented by Thingmint$"):
        await api.call(method, path, b"{}")
