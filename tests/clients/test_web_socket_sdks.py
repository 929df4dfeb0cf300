"""AWS's device SDKs, as they are, over WebSockets that they sign themselves, beside devices on TLS."""

import json
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from awscrt import auth, mqtt, mqtt5
from awsiot import mqtt5_client_builder, mqtt_connection_builder
from tests.support.clients.aws import AccessKey, IoT, Live, allow, policy
from tests.support.clients.device_javascript import node_with_sdk, run_script
from tests.support.devices.live_devices import (  # noqa: F401  a fixture is found as `live`
    GENEROUS,
    MQTT_3,
    MQTT_5,
    device,
    live_on_each_data_plane,
    new_credentials,
    unique,
)

EVERYTHING = policy(allow("iot:*"))


def arguments(live: Live, key: AccessKey, client_id: str) -> dict[str, Any]:
    provider = auth.AwsCredentialsProvider.new_static(key.access_key_id, key.secret_access_key, key.session_token)
    return {
        "region": "us-east-1",
        "credentials_provider": provider,
        "endpoint": "localhost",
        "port": live.service.endpoints.api_port,
        "ca_filepath": str(live.ca_file),
        "client_id": client_id,
    }


@pytest.fixture(params=[(), ("--expires-in", "600")], ids=["lasting", "temporary"])
def key(request: pytest.FixtureRequest, live: Live) -> AccessKey:
    return live.create_access_key(EVERYTHING, *request.param)


def test_the_first_sdk_talks_to_a_device(live: Live, iot: IoT, tmp_path: Path, key: AccessKey) -> None:
    topic, heard = unique("talk"), queue.Queue[bytes]()
    connection = mqtt_connection_builder.websockets_with_default_aws_signing(**arguments(live, key, unique("sdk")))
    connection.connect().result(GENEROUS)
    subscribed, _ = connection.subscribe(
        f"{topic}/sdk", mqtt.QoS.AT_LEAST_ONCE, lambda topic, payload, **_: heard.put(payload)
    )
    subscribed.result(GENEROUS)
    with device(live, new_credentials(iot), tmp_path, unique("tls"), MQTT_3) as lamp:
        assert lamp.subscribe(f"{topic}/lamp")
        connection.publish(f"{topic}/lamp", b"on", mqtt.QoS.AT_LEAST_ONCE)[0].result(GENEROUS)
        assert lamp.hear().payload == b"on"
        lamp.client.publish(f"{topic}/sdk", b"x" * 100_000, qos=1)
        assert heard.get(timeout=GENEROUS) == b"x" * 100_000
    connection.disconnect().result(GENEROUS)


class SDK5:
    """A client of the SDK over MQTT 5, and what it is told."""

    def __init__(self, live: Live, key: AccessKey, client_id: str) -> None:
        self.connected, self.stopped = threading.Event(), threading.Event()
        self.failed: queue.Queue[Any] = queue.Queue()
        self.ended: queue.Queue[Any] = queue.Queue()
        self.heard: queue.Queue[Any] = queue.Queue()
        self.client = mqtt5_client_builder.websockets_with_default_aws_signing(
            **arguments(live, key, client_id),
            on_publish_received=lambda data: self.heard.put(data.publish_packet),
            on_lifecycle_connection_success=lambda _: self.connected.set(),
            on_lifecycle_connection_failure=self.failed.put,
            on_lifecycle_disconnection=self.ended.put,
            on_lifecycle_stopped=lambda _: self.stopped.set(),
        )
        self.client.start()

    def stop(self) -> None:
        """Leave."""
        self.client.stop()
        assert self.stopped.wait(GENEROUS)


def test_the_second_sdk_talks_to_a_device(live: Live, iot: IoT, tmp_path: Path, key: AccessKey) -> None:
    topic, sdk = unique("talk"), SDK5(live, key, unique("sdk"))
    assert sdk.connected.wait(GENEROUS)
    subscription = mqtt5.Subscription(topic_filter=f"{topic}/sdk", qos=mqtt5.QoS.AT_LEAST_ONCE)
    sdk.client.subscribe(mqtt5.SubscribePacket([subscription])).result(GENEROUS)
    with device(live, new_credentials(iot), tmp_path, unique("tls"), MQTT_5) as lamp:
        assert lamp.subscribe(f"{topic}/lamp")
        packet = mqtt5.PublishPacket(topic=f"{topic}/lamp", payload=b"on", qos=mqtt5.QoS.AT_LEAST_ONCE)
        assert sdk.client.publish(packet).result(GENEROUS).puback.reason_code == mqtt5.PubackReasonCode.SUCCESS
        assert lamp.hear().payload == b"on"
        lamp.publish(f"{topic}/sdk", b"x" * 100_000)
        assert sdk.heard.get(timeout=GENEROUS).payload == b"x" * 100_000
    sdk.stop()


def test_the_sdk_learns_of_a_wrong_secret_and_of_a_policy_that_denies(live: Live) -> None:
    denied = live.create_access_key(policy(allow("iot:Publish")))
    wrong = SDK5(live, AccessKey(denied.access_key_id, "wrong"), unique("wrong"))
    assert "WEBSOCKET_UPGRADE_FAILURE" in str(wrong.failed.get(timeout=GENEROUS).exception)
    wrong.stop()
    refused = SDK5(live, denied, unique("refused"))
    answer = refused.failed.get(timeout=GENEROUS).connack_packet
    assert answer.reason_code == mqtt5.ConnectReasonCode.NOT_AUTHORIZED
    refused.stop()


def test_the_sdk_for_javascript_talks_to_itself(live: Live, key: AccessKey) -> None:
    secrets = json.dumps([key.access_key_id, key.secret_access_key, key.session_token])
    port = live.service.endpoints.api_port
    told = run_script(node_with_sdk(), "websocket.mjs", port, live.ca_file, unique("js"), secrets)
    assert isinstance(told, Mapping)
    assert told["heard"] == "on"
    assert "WEBSOCKET_UPGRADE_FAILURE" in told["refused"]
