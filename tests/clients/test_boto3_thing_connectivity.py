"""GetThingConnectivityData with AWS's SDK, and devices that come and go."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.enums import MQTTProtocolVersion
from tests.support.clients.aws import ClientOf, IoT, Live, policy, refusal_of
from tests.support.devices.live_devices import (  # noqa: F401  found as `live`
    GENEROUS,
    MQTT_3,
    MQTT_5,
    Device,
    device,
    live_on_each_data_plane,
    new_credentials,
    unique,
)
from tests.support.services.service import running_service

# An SDK's time has milliseconds or, in some releases, whole seconds.
_STEP = timedelta(seconds=1)
SOCKETS = {"sourceIp", "sourcePort", "targetIp", "targetPort"}


@pytest.fixture
def name(iot: IoT) -> str:
    name = unique("connectivity")
    iot.create_thing(thingName=name)
    return name


def connectivity(iot: IoT, name: str, **members: object) -> dict[str, Any]:
    """Return the answer without what every answer has."""
    answer: dict[str, Any] = iot.get_thing_connectivity_data(thingName=name, **members)
    return {member: value for member, value in answer.items() if member != "ResponseMetadata"}


def once_disconnected(iot: IoT, name: str) -> dict[str, Any]:
    """Return the answer as soon as it says that the thing is not connected."""
    deadline = time.monotonic() + GENEROUS
    while (answer := connectivity(iot, name))["connected"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return answer


@contextmanager
def happening() -> Iterator[Callable[[datetime], bool]]:
    """Yield a function that returns whether a time lies between here and the moment of the call."""
    before = datetime.now(UTC)
    yield lambda at: before - _STEP <= at <= datetime.now(UTC) + _STEP


def test_a_thing_is_seen_to_come_and_to_leave(live: Live, iot: IoT, name: str, tmp_path: Path) -> None:
    assert connectivity(iot, name) == {"thingName": name, "connected": False}
    credentials = new_credentials(iot)
    with happening() as is_now, device(live, credentials, tmp_path, name):
        found = connectivity(iot, name)
        assert (found["thingName"], found["clientId"], found["connected"]) == (name, name, True)
        assert is_now(found["timestamp"])
        assert (found["keepAliveDuration"], found["cleanSession"], found["sessionExpiry"]) == (60, True, 0)
        assert found.keys().isdisjoint({"disconnectReason", *SOCKETS})
        with_sockets = connectivity(iot, name, includeSocketInformation=True)
        assert with_sockets.keys() - found.keys() == SOCKETS
        assert with_sockets["targetPort"] == live.service.endpoints.mqtt_port
        came = found["timestamp"]
    left = once_disconnected(iot, name)
    assert left["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
    assert came <= left["timestamp"]
    assert is_now(left["timestamp"])
    assert (left["keepAliveDuration"], left["clientId"]) == (60, name)
    with device(live, credentials, tmp_path, name):
        back = connectivity(iot, name)
        assert (back["connected"], "disconnectReason" in back) == (True, False)
        assert back["timestamp"] >= left["timestamp"]


@pytest.fixture
def data(live: Live, client_of: ClientOf) -> IoT:
    return client_of(live, service="iot-data")


def lose(lamp: Device) -> None:
    """Break the device's connection off without a word."""
    broken = lamp.client.socket()
    assert isinstance(broken, socket.socket)
    broken.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("version", [MQTT_3, MQTT_5], ids=["3.1.1", "5"])
def test_a_thing_whose_connection_breaks_is_lost(
    live: Live, iot: IoT, name: str, tmp_path: Path, version: MQTTProtocolVersion
) -> None:
    with device(live, new_credentials(iot), tmp_path, name, version) as lamp, happening() as is_now:
        lose(lamp)
        left = once_disconnected(iot, name)
    assert left["disconnectReason"] == "CONNECTION_LOST"
    assert is_now(left["timestamp"])


def test_a_thing_that_an_operator_disconnects_is_told_from_one_whose_certificate_is_revoked(
    live: Live, iot: IoT, data: IoT, name: str, tmp_path: Path
) -> None:
    credentials = new_credentials(iot)
    with device(live, credentials, tmp_path, name):
        data.delete_connection(clientId=name)
        assert once_disconnected(iot, name)["disconnectReason"] == "API_INITIATED_DISCONNECT"
    with device(live, credentials, tmp_path, name), happening() as is_now:
        iot.update_certificate(certificateId=credentials.certificate_id, newStatus="REVOKED")
        left = once_disconnected(iot, name)
        assert (left["disconnectReason"], is_now(left["timestamp"])) == ("SERVER_INITIATED_DISCONNECT", True)


def test_a_thing_that_takes_its_own_place_is_connected_once_more(
    live: Live, iot: IoT, name: str, tmp_path: Path
) -> None:
    credentials = new_credentials(iot)
    with device(live, credentials, tmp_path, name) as first:
        came = connectivity(iot, name)["timestamp"]
        with device(live, credentials, tmp_path, name):
            first.disconnected.get(timeout=GENEROUS)
            again = connectivity(iot, name)
            assert (again["connected"], again["timestamp"] >= came) == (True, True)
        # The last word is that of the connection that was there last.
        assert once_disconnected(iot, name)["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"


def test_what_was_before_a_restart_is_not_told_and_nothing_is_made_up(tmp_path: Path, client_of: ClientOf) -> None:
    name = unique("connectivity")
    with running_service(tmp_path / "data") as service:
        live = Live(service, None)
        iot = client_of(live)
        iot.create_thing(thingName=name)
        with device(live, new_credentials(iot), tmp_path, name):
            assert connectivity(iot, name)["connected"]
        assert once_disconnected(iot, name)["disconnectReason"] == "CLIENT_INITIATED_DISCONNECT"
    with running_service(tmp_path / "data") as service:
        assert connectivity(client_of(Live(service, None)), name) == {"thingName": name, "connected": False}


def test_nobody_learns_of_what_is_no_thing_of_the_account(live: Live, iot: IoT, tmp_path: Path) -> None:
    client_id = unique("no-thing")
    with device(live, new_credentials(iot), tmp_path, client_id):
        refusal = refusal_of(iot.get_thing_connectivity_data, thingName=client_id)
    assert (refusal.name, refusal.status) == ("ResourceNotFoundException", 404)


def test_policies_bind_who_sees_a_thing_and_its_addresses(
    live: Live, iot: IoT, name: str, client_of: ClientOf, tmp_path: Path
) -> None:
    action, key = "iot:GetThingConnectivityData", "iot:IncludeSocketInformation"
    arn = f"arn:aws:iot:us-east-1:000000000000:thing/{name}"
    without_sockets = {"Effect": "Allow", "Action": action, "Resource": arn, "Condition": {"Bool": {key: "false"}}}
    bound = client_of(live, live.create_access_key(policy(without_sockets)))
    with device(live, new_credentials(iot), tmp_path, name):
        assert connectivity(bound, name)["connected"]
        assert connectivity(bound, name, includeSocketInformation=False).keys().isdisjoint(SOCKETS)
        refusals = [
            refusal_of(bound.get_thing_connectivity_data, thingName=name, includeSocketInformation=True),
            refusal_of(bound.get_thing_connectivity_data, thingName=f"{name}-2"),
        ]
    assert {(each.name, each.status) for each in refusals} == {("AccessDeniedException", 403)}
