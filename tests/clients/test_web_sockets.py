"""MQTT over WebSockets, signed as AWS's SDKs sign it, on a running service: real clients beside devices on TLS."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from tests.support.clients.aws import IoT, Live
from tests.support.devices.live_devices import (  # noqa: F401  a fixture is found as `live`
    MQTT_3,
    MQTT_5,
    device,
    live_on_each_data_plane,
    new_credentials,
    unique,
)

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
