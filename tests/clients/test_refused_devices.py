"""An operator reads in the log and in the metrics why a device was refused, whatever the device sends."""

import json
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.clients.aws import IoT, Live
from tests.support.devices.live_devices import (
    GENEROUS,
    MQTT_3,
    MQTT_5,
    Device,
    device,
    device_policy,
    is_admitted,
    new_credentials,
    unique,
)
from tests.support.services.service import running_service

ACCOUNT = "000000000000"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service that logs JSON, down to debugging lines."""
    data = tmp_path_factory.mktemp("refusing") / "data"
    with running_service(data, "--log-format", "json", "--log-level", "debug") as service:
        yield Live(service, None)


@pytest.fixture
def iot(live: Live) -> Iterator[IoT]:
    client = live.client()
    yield client
    client.close()


def refusals(live: Live, certificate_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in live.service.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == "refused" and line.get("certificate") == certificate_id]


def counted(live: Live, action: str, reason: str) -> float:
    context = ssl.create_default_context(cafile=str(live.ca_file))
    with urllib.request.urlopen(f"{live.service.endpoints.api}/metrics", context=context) as answer:
        text = answer.read().decode()
    name = f'thingmint_device_refusals_total{{action="{action}",reason="{reason}"}} '
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


CONNECTS = ("iot:Connect", "client/*")


def test_every_kind_of_refusal_is_a_line_and_is_counted(live: Live, iot: IoT, tmp_path: Path) -> None:
    policy = json.loads(device_policy(CONNECTS, ("iot:Publish", "topic/a"), ("iot:Subscribe", "topicfilter/a")))
    policy["Statement"].append({"Effect": "Deny", "Action": "iot:Subscribe", "Resource": "arn:*:topicfilter/*/secret"})
    credentials = new_credentials(iot, json.dumps(policy))
    (attached,) = iot.list_attached_policies(target=credentials.arn)["policies"]
    before = counted(live, "iot:Publish", "IMPLICIT_DENY")
    client_id = unique("refused")
    with device(live, credentials, tmp_path, client_id) as connected:
        assert connected.publish("other", b"") == "Not authorized"
        assert not connected.subscribe("b/secret")
        assert connected.subscribe("a")
        connected.publish("a", b"not delivered: there is no iot:Receive")

    lines = refusals(live, credentials.certificate_id)
    shown = [(line["action"], line["resource"], line["reason"], line.get("policy")) for line in lines]
    assert shown == [
        ("iot:Publish", "topic/other", "IMPLICIT_DENY", None),
        ("iot:Subscribe", "topicfilter/b/secret", "EXPLICIT_DENY", attached["policyName"]),
        ("iot:Receive", "topic/a", "IMPLICIT_DENY", None),
    ]
    for line in lines:
        assert (line["account"], line["client_id"], line["source"]) == (ACCOUNT, client_id, "127.0.0.1")
        assert line["level"] == "warning"
        assert "timestamp" in line
    assert counted(live, "iot:Publish", "IMPLICIT_DENY") == before + 1


def test_a_refused_connect_is_a_line_in_both_versions(live: Live, iot: IoT, tmp_path: Path) -> None:
    for version in (MQTT_3, MQTT_5):
        credentials, client_id = new_credentials(iot, device_policy(("iot:Connect", "client/x"))), unique("unknown")
        tried = Device(live, credentials, tmp_path, client_id, version)
        assert not tried.is_connected()
        tried.close()
        (line,) = refusals(live, credentials.certificate_id)
        assert (line["action"], line["reason"]) == ("iot:Connect", "IMPLICIT_DENY")
        assert (line["account"], line["client_id"], line["resource"]) == (ACCOUNT, client_id, f"client/{client_id}")


def test_the_status_of_a_certificate_is_a_reason(live: Live, iot: IoT, tmp_path: Path) -> None:
    credentials = new_credentials(iot)
    iot.update_certificate(certificateId=credentials.certificate_id, newStatus="REVOKED")
    tried = Device(live, credentials, tmp_path, unique("revoked"))
    assert not tried.is_connected()
    tried.close()

    (line,) = refusals(live, credentials.certificate_id)
    assert (line["reason"], line["account"]) == ("DEVICE_CERTIFICATE_REVOKED", ACCOUNT)


def test_a_connect_that_the_broker_refuses_is_a_line(live: Live, iot: IoT, tmp_path: Path) -> None:
    credentials, will = new_credentials(iot), "a/will/with/more/slashes/than/are/allowed/here"
    tried = Device(live, credentials, tmp_path, unique("willing"), will=will)
    assert not tried.is_connected()
    tried.close()

    (line,) = refusals(live, credentials.certificate_id)
    assert (line["action"], line["reason"]) == ("iot:Connect", "TOPIC_NAME_INVALID")


def test_a_connection_that_ends_with_its_permission_has_a_line(live: Live, iot: IoT, tmp_path: Path) -> None:
    credentials = new_credentials(iot)
    (attached,) = iot.list_attached_policies(target=credentials.arn)["policies"]
    with device(live, credentials, tmp_path, unique("ending")) as connected:
        iot.detach_policy(policyName=attached["policyName"], target=credentials.arn)
        assert connected.disconnected.get(timeout=GENEROUS) is not None

    (line,) = refusals(live, credentials.certificate_id)
    assert (line["action"], line["reason"]) == ("iot:Connect", "IMPLICIT_DENY")


def test_a_refused_provisioning_request_is_a_line(live: Live, iot: IoT, tmp_path: Path) -> None:
    credentials, topic = new_credentials(iot), "$aws/provisioning-templates/none/provision/json"
    with device(live, credentials, tmp_path, unique("claim")) as connected:
        answered, _ = connected.ask(topic, b'{"certificateOwnershipToken": "stolen-token"}')
        assert answered.endswith("/rejected")

    (line,) = refusals(live, credentials.certificate_id)
    assert (line["action"], line["resource"]) == ("RegisterThing", f"topic/{topic}")
    assert line["reason"]
    assert "stolen-token" not in live.service.log


def test_a_device_that_does_not_give_up_has_few_lines(live: Live, iot: IoT, tmp_path: Path) -> None:
    credentials = new_credentials(iot, device_policy(CONNECTS))
    before = counted(live, "iot:Publish", "IMPLICIT_DENY")
    with device(live, credentials, tmp_path, unique("stubborn")) as connected:
        for _ in range(50):
            assert connected.publish("no", b"") == "Not authorized"

    assert len(refusals(live, credentials.certificate_id)) == 10
    assert counted(live, "iot:Publish", "IMPLICIT_DENY") == before + 50


def test_debugging_lines_of_the_service_are_shown_and_those_of_libraries_are_not(
    live: Live, iot: IoT, tmp_path: Path
) -> None:
    with device(live, new_credentials(iot, device_policy(CONNECTS)), tmp_path, unique("debug"), MQTT_3) as connected:
        connected.client.publish("no", qos=1)
        assert connected.disconnected.get(timeout=GENEROUS) is not None

    lines = [json.loads(line) for line in live.service.log.splitlines() if line.startswith("{")]
    debugging = [line["event"] for line in lines if line["level"] == "debug"]
    assert any("Not authorized" in event for event in debugging)
    assert not any("selector" in event for event in debugging)


INJECTION = 'x\n{"event": "forged", "level": "info"}\r\x1b[2J\u202e\u2028end'
# A client id with a line break is refused, one with other control characters is not.
IN_ONE_LINE = 'x{"event": "forged", "level": "info"}\x1b[2J\u202eend'


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_client_id_or_topic_writes_a_line_of_its_own(tmp_path: Path, log_format: str) -> None:
    with running_service(tmp_path / "data", "--log-format", log_format) as service:
        live = Live(service, None)
        iot = live.client()
        credentials = new_credentials(iot, device_policy(CONNECTS))
        iot.close()
        assert not is_admitted(live, credentials, tmp_path, client_id=INJECTION)
        with device(live, credentials, tmp_path, IN_ONE_LINE) as connected:
            assert connected.publish(INJECTION, b"") == "Not authorized"
            assert not connected.subscribe(INJECTION)
        log = service.log_file.read_bytes().decode()

    # The console's own colours are off where it is no terminal.
    assert "\x1b" not in log
    assert "\u202e" not in log
    assert "\u2028" not in log
    refused = [line for line in log.split("\n") if "refused" in line and "end" in line]
    assert len(refused) == 2
    assert not [line for line in log.split("\n") if line.startswith('{"event": "forged"')]
