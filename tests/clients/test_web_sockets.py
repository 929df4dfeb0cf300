"""MQTT over WebSockets, signed as AWS's SDKs sign it, on a running service: real clients beside devices on TLS."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from tests.support.clients.aws import AccessKey, ClientOf, IoT, Live, allow, deny, policy
from tests.support.clients.web_sockets import (
    handshake,
    is_refused_before_opening,
    presigned_target,
    signed_fields,
)
from tests.support.devices.live_devices import (  # noqa: F401  a fixture is found as `live`
    GENEROUS,
    MQTT_3,
    MQTT_5,
    device,
    is_admitted,
    live_on_each_data_plane,
    new_credentials,
    unique,
)

GRANTED = ("Success", "No matching subscribers")
ARN = "arn:aws:iot:us-east-1:000000000000:"


def allowing(*statements: tuple[str, str]) -> Mapping[str, object]:
    """Return the policy of a key that allows these actions on these resources, each the last part of an ARN."""
    allowed: Sequence[Mapping[str, str]] = [
        {"Effect": "Allow", "Action": action, "Resource": ARN + resource} for action, resource in statements
    ]
    return {"Version": "2012-10-17", "Statement": allowed}


EVERYTHING: Mapping[str, object] = allowing(("iot:*", "*"))


@pytest.mark.parametrize("version", [MQTT_3, MQTT_5])
def test_a_client_in_a_web_socket_and_a_device_on_tls_hear_each_other(
    live: Live, iot: IoT, tmp_path: Path, version: MQTTProtocolVersion
) -> None:
    key, topic = live.create_access_key(EVERYTHING), unique("talk")
    with (
        device(live, new_credentials(iot), tmp_path, unique("tls"), version) as lamp,
        device(live, key, tmp_path, unique("socket"), version) as page,
    ):
        assert lamp.subscribe(f"{topic}/lamp")
        assert page.subscribe(f"{topic}/page")
        page.client.publish(f"{topic}/lamp", b"on", qos=1)
        assert (lamp.hear().topic, version) == (f"{topic}/lamp", version)
        lamp.client.publish(f"{topic}/page", b"x" * 100_000, qos=1)
        assert page.hear().payload == b"x" * 100_000


def test_the_key_s_policy_decides_about_each_request(live: Live, iot: IoT, tmp_path: Path) -> None:
    topic, client_id = unique("own"), unique("bound")
    bound = live.create_access_key(
        allowing(
            ("iot:Connect", "client/${iot:ClientId}"),
            ("iot:Publish", f"topic/{topic}/${{iot:ClientId}}/*"),
            ("iot:Subscribe", f"topicfilter/{topic}/*"),
            ("iot:Receive", f"topic/{topic}/heard"),
        )
    )
    with (
        device(live, new_credentials(iot), tmp_path, unique("tls")) as lamp,
        device(live, bound, tmp_path, client_id) as page,
    ):
        assert page.publish(f"{topic}/{client_id}/on", b"") in GRANTED
        assert page.publish(f"{topic}/another/on", b"") == "Not authorized"
        assert page.subscribe(f"{topic}/#")
        assert not page.subscribe("another/#")
        lamp.publish(f"{topic}/unheard", b"")
        lamp.publish(f"{topic}/heard", b"")
        assert page.hear().topic == f"{topic}/heard"
    without_connect = live.create_access_key(allowing(("iot:Publish", "*")))
    assert not is_admitted(live, without_connect, tmp_path)
    assert not is_admitted(live, without_connect, tmp_path, MQTT_3)


def test_temporary_credentials_open_a_web_socket(live: Live, tmp_path: Path) -> None:
    key = live.create_access_key(EVERYTHING, "--expires-in", "600")
    with device(live, key, tmp_path, unique("temporary")) as page:
        assert page.subscribe("a")
    assert is_refused_before_opening(live, replace(key, session_token=None))


def test_a_signature_in_the_header_opens_a_web_socket(live: Live) -> None:
    key = live.create_access_key(EVERYTHING)
    assert handshake(live, "/mqtt", signed_fields(live, key)).status == 101
    assert handshake(live, "/mqtt", signed_fields(live, replace(key, secret_access_key="wrong"))).status == 403


REFUSED: Mapping[str, tuple[Callable[[Live, AccessKey], str], str, int]] = {
    "a wrong secret": (
        lambda live, key: presigned_target(live, replace(key, secret_access_key="wrong" * 8)),
        "InvalidSignatureException",
        403,
    ),
    "an unknown key": (
        lambda live, key: presigned_target(live, replace(key, access_key_id="AKIAUNKNOWN")),
        "UnrecognizedClientException",
        403,
    ),
    "an expired address": (
        lambda live, key: presigned_target(live, key, at=datetime.now(UTC) - timedelta(minutes=2), expires=60),
        "InvalidSignatureException",
        403,
    ),
    "an address of tomorrow": (
        lambda live, key: presigned_target(live, key, at=datetime.now(UTC) + timedelta(days=1)),
        "InvalidSignatureException",
        403,
    ),
    "another service": (
        lambda live, key: presigned_target(live, key, service="iot"),
        "InvalidSignatureException",
        403,
    ),
    "a service that is not served": (
        lambda live, key: presigned_target(live, key, service="greengrass"),
        "InvalidSignatureException",
        403,
    ),
    "another region": (
        lambda live, key: presigned_target(live, key, region="eu-central-1"),
        "InvalidSignatureException",
        403,
    ),
    "a session token that the key does not have": (
        lambda live, key: presigned_target(live, replace(key, session_token="token")),
        "UnrecognizedClientException",
        403,
    ),
    "no signature": (lambda live, key: "/mqtt", "MissingAuthenticationTokenException", 403),
    "another parameter than was signed": (
        lambda live, key: presigned_target(live, key) + "&more=1",
        "InvalidSignatureException",
        403,
    ),
    "another path": (lambda live, key: "/mqtt/more", "UnknownOperationException", 400),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_handshake_is_refused_in_awss_form(live: Live, why: str) -> None:
    target_of, error, status = REFUSED[why]
    target = target_of(live, live.create_access_key(EVERYTHING))
    answered = handshake(live, target)
    assert (answered.status, answered.fields["x-amzn-errortype"]) == (status, error)
    assert answered.fields["connection"] == "close"
    assert json.loads(answered.body)["__type"] == error
    assert target.partition("X-Amz-Signature=")[2][:64] not in live.service.log or "Signature" not in target


BAD_HANDSHAKES: Mapping[str, Mapping[str, str | None]] = {
    "no subprotocol": {"Sec-WebSocket-Protocol": None},
    "another subprotocol": {"Sec-WebSocket-Protocol": "mqttv3.1"},
    "another version": {"Sec-WebSocket-Version": "8"},
    "no key": {"Sec-WebSocket-Key": None},
    "a short key": {"Sec-WebSocket-Key": "YQ=="},
    "another protocol": {"Upgrade": "h2c"},
}


@pytest.mark.parametrize("which", BAD_HANDSHAKES)
def test_a_handshake_that_is_not_for_mqtt_is_refused(live: Live, which: str) -> None:
    key = live.create_access_key(EVERYTHING)
    answered = handshake(live, presigned_target(live, key), BAD_HANDSHAKES[which])
    assert (answered.status, answered.fields["x-amzn-errortype"]) == (400, "InvalidRequestException")


@pytest.mark.parametrize("offered", ["h2c, websocket", "WebSocket,irc/6.9", "a, , websocket "])
def test_a_web_socket_is_chosen_among_offered_protocols(live: Live, offered: str) -> None:
    key = live.create_access_key(EVERYTHING)
    answered = handshake(live, presigned_target(live, key), {"Upgrade": offered})
    assert (answered.status, answered.fields["upgrade"]) == (101, "websocket")


def test_a_request_without_an_upgrade_is_answered_as_unknown(live: Live) -> None:
    answered = handshake(live, "/mqtt", {"Upgrade": None, "Connection": "close"})
    assert (answered.status, answered.fields["x-amzn-errortype"]) == (400, "UnknownOperationException")


def test_compression_and_other_extensions_are_not_agreed_to(live: Live) -> None:
    offered = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}
    answered = handshake(live, presigned_target(live, live.create_access_key(EVERYTHING)), offered)
    assert answered.status == 101
    assert answered.fields["sec-websocket-protocol"] == "mqtt"
    assert "sec-websocket-extensions" not in answered.fields


def test_a_client_that_does_not_wait_for_the_answer_is_refused(live: Live) -> None:
    target = presigned_target(live, live.create_access_key(EVERYTHING))
    answered = handshake(live, target, behind=b"\x82\x80abcd")
    assert (answered.status, answered.fields["x-amzn-errortype"]) == (400, "InvalidRequestException")


@pytest.mark.parametrize("version", [MQTT_3, MQTT_5])
@pytest.mark.engines
def test_the_end_of_a_key_ends_its_connections(live: Live, tmp_path: Path, version: MQTTProtocolVersion) -> None:
    ended, staying = live.create_access_key(EVERYTHING), live.create_access_key(EVERYTHING)
    with (
        device(live, ended, tmp_path, unique("ended"), version) as page,
        device(live, staying, tmp_path, unique("staying"), version) as other,
    ):
        live.thingmint("access-key", "delete", ended.access_key_id)
        code = page.disconnected.get(timeout=GENEROUS)
        assert version is MQTT_3 or str(code) == "Administrative action"
        assert other.subscribe("a")
    assert is_refused_before_opening(live, ended)


def test_a_web_socket_and_a_device_on_tls_take_each_other_over(live: Live, iot: IoT, tmp_path: Path) -> None:
    key, certificate, client_id = live.create_access_key(EVERYTHING), new_credentials(iot), unique("taken")
    with device(live, key, tmp_path, client_id) as page, device(live, certificate, tmp_path, client_id) as lamp:
        assert str(page.disconnected.get(timeout=GENEROUS)) == "Session taken over"
        with device(live, key, tmp_path, client_id):
            assert str(lamp.disconnected.get(timeout=GENEROUS)) == "Session taken over"


def test_operators_see_and_end_the_connection(live: Live, client_of: ClientOf, tmp_path: Path) -> None:
    client_id, data = unique("seen"), client_of(live, service="iot-data")
    with device(live, live.create_access_key(EVERYTHING), tmp_path, client_id) as page:
        shown = data.get_connection(clientId=client_id, includeSocketInformation=True)
        assert shown["connected"]
        assert shown["sourceIp"] == "127.0.0.1"
        assert shown["targetPort"] == live.service.endpoints.api_port
        data.delete_connection(clientId=client_id)
        assert str(page.disconnected.get(timeout=GENEROUS)) == "Administrative action"


def test_events_name_the_user_and_not_the_key(live: Live, iot: IoT, tmp_path: Path) -> None:
    key, client_id = live.create_access_key(EVERYTHING, "--user", "operator"), unique("told")
    with device(live, new_credentials(iot), tmp_path, unique("listener")) as listener:
        assert listener.subscribe(f"$aws/events/presence/+/{client_id}")
        with device(live, key, tmp_path, client_id):
            connected = json.loads(listener.hear().payload)
        disconnected = json.loads(listener.hear().payload)
    identifier = connected["principalIdentifier"]
    assert identifier.startswith("AIDA")
    assert identifier.isalnum()
    assert disconnected["principalIdentifier"] == identifier
    assert disconnected["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"


def test_a_policy_of_times_is_decided_again_while_the_connection_is_open(live: Live, tmp_path: Path) -> None:
    until = (datetime.now(UTC) + timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    late = {
        "Effect": "Deny",
        "Action": "iot:Connect",
        "Resource": "*",
        "Condition": {"DateGreaterThan": {"aws:CurrentTime": until}},
    }
    document = policy(allow("iot:*"), late)
    with device(live, live.create_access_key(document), tmp_path, unique("until")) as page:
        assert str(page.disconnected.get(timeout=GENEROUS)) == "Not authorized"


def test_nothing_of_a_presigned_address_is_logged(live: Live, tmp_path: Path) -> None:
    key = live.create_access_key(EVERYTHING, "--expires-in", "600")
    assert key.session_token is not None
    target = presigned_target(live, key)
    assert handshake(live, target).status == 101
    assert handshake(live, target + "&more=1").status == 403
    live.service.wait_for_log("OpenWebSocket")
    log = live.service.log
    secrets = [key.session_token, quote(key.session_token, safe=""), target.partition("X-Amz-Signature=")[2][:64]]
    assert [secret for secret in secrets if secret in log] == []


def test_a_key_whose_policy_allows_it_provisions_a_certificate(live: Live, iot: IoT, tmp_path: Path) -> None:
    key, topic = live.create_access_key(EVERYTHING, "--user", "provisioner"), "$aws/certificates/create/json"
    with device(live, key, tmp_path, unique("provisioner")) as page:
        created = page.request(topic, {})
    described = iot.describe_certificate(certificateId=created["certificateId"])["certificateDescription"]
    assert described["status"] == "PENDING_ACTIVATION"
    trail = live.thingmint("audit", "--json")
    (entry,) = [line for line in trail.splitlines() if created["certificateId"] in line]
    assert "user/provisioner" in entry
    barred = live.create_access_key(policy(allow("iot:*"), deny("iot:Publish", resource=f"{ARN}topic/$aws/*")))
    with device(live, barred, tmp_path, unique("barred")) as page:
        assert page.publish(topic, b"{}") == "Not authorized"
