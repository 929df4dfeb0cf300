"""boto3's client of the data plane, unmodified, and devices at the other end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from tests.support.clients.aws import ClientOf, IoT, Live, policy, refusal_of
from tests.support.devices.live_devices import GENEROUS, MQTT_3, MQTT_5, device, is_admitted, new_credentials, unique

ARN = "arn:aws:iot:us-east-1:000000000000:"
DATA = "iot-data"


@pytest.fixture
def data(live: Live, client_of: ClientOf) -> IoT:
    return client_of(live, service=DATA)


def allowing(*statements: tuple[str, str]) -> dict[str, object]:
    return policy(*({"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in statements))


def test_environment_of_the_service_is_all_that_boto3_needs(
    live_on_sqlite: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in live_on_sqlite.thingmint("env").splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        monkeypatch.setenv(name, value)
    client = boto3.session.Session().client(DATA)
    try:
        assert client.publish(topic="a", payload=b"x")["ResponseMetadata"]["HTTPStatusCode"] == 200
    finally:
        client.close()


@pytest.mark.parametrize("version", [MQTT_3, MQTT_5], ids=["3.1.1", "5"])
def test_message_reaches_devices(live: Live, iot: IoT, data: IoT, tmp_path: Path, version: object) -> None:
    topic = unique("to/devices é")
    with device(live, new_credentials(iot), tmp_path, unique("hears"), version) as hears:  # type: ignore[arg-type]  # as given
        assert hears.subscribe(topic)
        data.publish(topic=topic, qos=1, payload=b"\xff{")
        heard = hears.hear()
    assert (heard.topic, heard.payload, heard.qos) == (topic, b"\xff{", 1)


def test_properties_reach_devices(live: Live, iot: IoT, data: IoT, tmp_path: Path) -> None:
    topic = unique("properties")
    with device(live, new_credentials(iot), tmp_path, unique("hears")) as hears:
        assert hears.subscribe(topic)
        data.publish(
            topic=topic,
            payload=b"{}",
            userProperties=[{"a": "1"}, {"a": "2"}],
            contentType="application/json",
            responseTopic="answer/here",
            correlationData="MTc=",
            payloadFormatIndicator="UTF8_DATA",
            messageExpiry=60,
        )
        said: Any = hears.hear().properties  # paho sets its attributes by name
    assert said.UserProperty == [("a", "1"), ("a", "2")]
    assert (said.ContentType, said.ResponseTopic, said.CorrelationData) == ("application/json", "answer/here", b"17")
    assert (said.PayloadFormatIndicator, said.MessageExpiryInterval) == (1, 60)


def test_retained_messages_are_read_and_listed_and_removed(data: IoT) -> None:
    prefix = unique("kept")
    topics = [f"{prefix}/{number}" for number in range(5)]
    for topic in topics:
        data.publish(topic=topic, qos=1, retain=True, payload=topic.encode(), userProperties=[{"a": "1"}])

    read = data.get_retained_message(topic=topics[0])
    assert (read["payload"], read["qos"], json.loads(read["userProperties"])) == (topics[0].encode(), 1, [{"a": "1"}])
    listed = [
        each
        for page in data.get_paginator("list_retained_messages").paginate(PaginationConfig={"PageSize": 2})
        for each in page["retainedTopics"]
        if each["topic"].startswith(prefix)
    ]
    assert [each["topic"] for each in listed] == topics
    assert {each["payloadSize"] for each in listed} == {len(topics[0])}
    assert listed[0]["lastModifiedTime"] == read["lastModifiedTime"]

    for topic in topics:
        data.publish(topic=topic, retain=True)
    assert refusal_of(data.get_retained_message, topic=topics[0]).name == "ResourceNotFoundException"


def test_connection_is_described_and_deleted(live: Live, iot: IoT, data: IoT, tmp_path: Path) -> None:
    credentials, name = new_credentials(iot), unique("lamp/é")
    with device(live, credentials, tmp_path, name) as lamp:
        found = data.get_connection(clientId=name, includeSocketInformation=True)
        assert (found["connected"], found["clientId"], found["cleanSession"]) == (True, name, True)
        assert found["targetPort"] == live.service.endpoints.mqtt_port
        data.delete_connection(clientId=name)
        assert str(lamp.disconnected.get(timeout=GENEROUS)) == "Administrative action"
        refusal = refusal_of(data.delete_connection, clientId=name)
        assert (refusal.name, refusal.status) == ("ResourceNotFoundException", 404)
    assert is_admitted(live, credentials, tmp_path)


def test_message_to_one_device_is_confirmed_by_it(live: Live, iot: IoT, data: IoT, tmp_path: Path) -> None:
    name = unique("lamp")
    with device(live, new_credentials(iot), tmp_path, name) as lamp:
        answer = data.send_direct_message(clientId=name, topic="to/lamp", payload=b"on", confirmation=True, timeout=15)
        assert (answer["message"], lamp.hear().payload) == ("OK", b"on")
    assert refusal_of(data.send_direct_message, clientId=name, topic="a").name == "ResourceNotFoundException"


@pytest.mark.parametrize("topic", ["$aws/certificates/create/json", "$aws/things/a/shadow/update", "a/+", "x" * 257])
def test_reserved_and_invalid_topics_are_refused(data: IoT, topic: str) -> None:
    refusal = refusal_of(data.publish, topic=topic, payload=b"x")

    assert (refusal.name, refusal.status) == ("InvalidRequestException", 400)


def test_policies_bind_what_is_done_with_devices(live: Live, client_of: ClientOf) -> None:
    key = live.create_access_key(
        allowing(
            ("iot:Publish", f"{ARN}topic/mine"),
            ("iot:DeleteConnection", f"{ARN}client/mine"),
            ("iot:GetRetainedMessage", f"{ARN}topic/mine"),
        )
    )
    bound = client_of(live, key, service=DATA)
    bound.publish(topic="mine", payload=b"x")
    assert refusal_of(bound.delete_connection, clientId="mine").name == "ResourceNotFoundException"
    refused: list[tuple[Callable[..., object], dict[str, object]]] = [
        (bound.publish, {"topic": "yours"}),
        (bound.publish, {"topic": "mine", "retain": True}),
        (bound.get_retained_message, {"topic": "yours"}),
        (bound.list_retained_messages, {}),
        (bound.delete_connection, {"clientId": "yours"}),
        (bound.get_connection, {"clientId": "mine"}),
        (bound.send_direct_message, {"clientId": "mine", "topic": "mine"}),
    ]
    for call, parameters in refused:
        refusal = refusal_of(call, **parameters)
        assert (refusal.name, refusal.status) == ("ForbiddenException", 403), parameters


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("get_thing_shadow", {"thingName": "lamp"}),
        ("update_thing_shadow", {"thingName": "lamp", "payload": b"{}"}),
        ("delete_thing_shadow", {"thingName": "lamp"}),
        ("list_named_shadows_for_thing", {"thingName": "lamp"}),
    ],
)
def test_shadows_say_that_they_are_absent(data: IoT, method: str, parameters: dict[str, object]) -> None:
    refusal = refusal_of(getattr(data, method), **parameters)

    assert (refusal.name, refusal.status) == ("UnknownOperationException", 400)
    assert refusal.message.endswith("is not implemented by Thingmint")


@pytest.mark.parametrize(
    ("service", "path", "status"),
    [
        ("iotdata", "/topics/a", 200),
        ("iotdevicegateway", "/topics/a", 200),
        ("iot", "/topics/a", 403),
        ("iotdata", "/keys-and-certificate", 403),
    ],
)
def test_each_plane_has_names_that_it_is_signed_for(live: Live, service: str, path: str, status: int) -> None:
    request: AWSRequest = live.request("POST", path)
    SigV4Auth(live.administrator.credentials, service, live.service.endpoints.region).add_auth(request)

    answer = live.send(request)

    assert answer.status == status
    assert status == 200 or answer.error_name == "InvalidSignatureException"


BAD = [
    ("POST", "/topics/%24aws%2Fcertificates%2Fcreate%2Fjson%2Faccepted", {}),
    ("POST", "/topics/%24SYS", {}),
    ("POST", "/topics/a%00b", {}),
    ("POST", "/topics/%FF", {}),
    ("POST", "/topics/a?qos=2", {}),
    ("POST", "/topics/a?qos=x", {}),
    ("POST", "/topics/a?retain=1", {}),
    ("POST", "/topics/a?messageExpiry=99999999999", {}),
    ("POST", "/topics/a?responseTopic=%2B", {}),
    ("POST", "/topics/a?contentType=" + "x" * 7000, {"x-amz-mqtt5-user-properties": "e30="}),
    ("POST", "/topics/a", {"x-amz-mqtt5-user-properties": "W1tdXQ=="}),
    ("POST", "/topics/a", {"x-amz-mqtt5-user-properties": "bnVsbA=="}),
    ("POST", "/topics/a", {"x-amz-mqtt5-user-properties": "W3siYSI6Ilx1MDAwMCJ9XQ=="}),
    ("POST", "/topics/a", {"x-amz-mqtt5-payload-format-indicator": "TEXT"}),
    ("POST", "/topics/a", {"x-amz-mqtt5-correlation-data": "%"}),
    ("GET", "/retainedMessage?maxResults=0", {}),
    ("GET", "/retainedMessage?maxResults=201", {}),
    ("GET", "/retainedMessage?nextToken=%2B", {}),
    ("GET", "/retainedMessage/nothing", {}),
    ("DELETE", "/connections/%24aws", {}),
    ("DELETE", "/connections/a?cleanSession=2", {}),
    ("GET", "/connections/" + "x" * 129, {}),
    ("POST", "/connections/a/messages", {}),
    ("POST", "/connections/a/messages?topic=%24aws%2Fx", {}),
    ("POST", "/connections/a/messages?topic=a&confirmation=true&timeout=0", {}),
    ("POST", "/connections/a/messages?topic=a&timeout=99999999999999999999", {}),
    ("PUT", "/topics/a", {}),
]


@pytest.mark.parametrize(("method", "path", "headers"), BAD)
def test_bad_requests_are_refused_in_awss_form(live: Live, method: str, path: str, headers: dict[str, str]) -> None:
    request: AWSRequest = live.request(method, path)
    for name, value in headers.items():
        request.headers[name] = value
    SigV4Auth(live.administrator.credentials, "iotdata", live.service.endpoints.region).add_auth(request)

    answer = live.send(request)

    assert 400 <= answer.status < 500, answer
    assert answer.error_name in ("InvalidRequestException", "ResourceNotFoundException", "UnknownOperationException")
    assert answer.body["message"]
