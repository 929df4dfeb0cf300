"""Claims and tokens of a running service belong to one template and one request, on every node of one database."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.clients.aws import IoT, Live
from tests.support.devices.live_devices import GENEROUS, ROLE, Credentials, Device, device, new_credentials, unique
from tests.support.services.service import running_service

CREATE = "$aws/certificates/create/json"
BODY = json.dumps(
    {
        "Parameters": {"Serial": {"Type": "String"}},
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Serial"}}},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
            },
        },
        "DeviceConfiguration": {"serial": {"Ref": "Serial"}},
    }
)


@dataclass
class Nodes:
    """Two services on one PostgreSQL database."""

    first: Live
    second: Live
    iot: IoT


@pytest.fixture(scope="module")
def nodes(live_on_postgresql: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    url = live_on_postgresql.database_url
    assert url is not None
    data_dir = tmp_path_factory.mktemp("second") / "data"
    data_dir.mkdir(mode=0o700)
    for name in ("keys", "certificates"):
        shutil.copytree(live_on_postgresql.service.data_dir / name, data_dir / name)
    shutil.copy2(live_on_postgresql.service.data_dir / "credentials", data_dir / "credentials")
    with running_service(data_dir, "--database-url", url) as service:
        iot = live_on_postgresql.client()
        service.closers.append(iot.close)
        yield Nodes(live_on_postgresql, Live(service, url), iot)


def created(iot: IoT, name: str) -> str:
    """Create the template of this name and return the name."""
    iot.create_provisioning_template(templateName=name, templateBody=BODY, provisioningRoleArn=ROLE, enabled=True)
    return name


def claim_of(iot: IoT, name: str) -> Credentials:
    """Return a claim for the template."""
    made = iot.create_provisioning_claim(templateName=name)
    return Credentials(made["certificateId"], made["certificatePem"], made["keyPair"]["PrivateKey"])


def was_ended(opened: Device) -> bool:
    """Wait until the service has ended the connection."""
    return opened.disconnected.get(timeout=GENEROUS).is_failure


@pytest.mark.parametrize("is_created_again", [False, True])
def test_connections_of_a_claim_end_with_its_template(
    live: Live, iot: IoT, tmp_path: Path, *, is_created_again: bool
) -> None:
    name = created(iot, unique("identity"))
    claimed = claim_of(iot, name)
    with device(live, claimed, tmp_path, unique("claim")) as claim:
        claim.request(CREATE, {})
        iot.delete_provisioning_template(templateName=name)
        if is_created_again:
            created(iot, name)
        assert was_ended(claim)
    refused = Device(live, claimed, tmp_path, unique("claim"))
    try:
        assert not refused.is_connected()
    finally:
        refused.close()


def test_connections_of_a_claim_end_on_the_other_node_too_and_those_of_other_claims_stay(
    nodes: Nodes, tmp_path: Path
) -> None:
    name, other = created(nodes.iot, unique("identity")), created(nodes.iot, unique("identity"))
    claimed, kept = claim_of(nodes.iot, name), claim_of(nodes.iot, other)
    with (
        device(nodes.second, claimed, tmp_path, unique("claim")) as claim,
        device(nodes.second, kept, tmp_path, unique("claim")) as stays,
    ):
        nodes.iot.delete_provisioning_template(templateName=name)
        created(nodes.iot, name)
        assert was_ended(claim)
        assert stays.request(CREATE, {}).keys() > {"certificateOwnershipToken"}


def asked(claim: Device, name: str, token: str, serial: str) -> tuple[str, dict[str, object]]:
    """Ask to be registered, and return whether that was accepted with the answer."""
    request = {"certificateOwnershipToken": token, "parameters": {"Serial": serial}}
    topic, payload = claim.ask(f"$aws/provisioning-templates/{name}/provision/json", json.dumps(request).encode())
    return topic.rpartition("/")[2], json.loads(payload)


def test_a_token_serves_one_request_and_the_same_again_on_every_node(nodes: Nodes, tmp_path: Path) -> None:
    name, credentials = created(nodes.iot, unique("identity")), new_credentials(nodes.iot)
    serial, other = unique("serial"), unique("serial")
    with (
        device(nodes.first, credentials, tmp_path, unique("first")) as first,
        device(nodes.second, credentials, tmp_path, unique("second")) as second,
    ):
        token = first.request(CREATE, {})["certificateOwnershipToken"]
        done = asked(first, name, token, serial)
        again = asked(second, name, token, serial)
        refused = asked(second, name, token, other)
    assert done == again == ("accepted", {"thingName": serial, "deviceConfiguration": {"serial": serial}})
    assert (refused[0], refused[1]["statusCode"], refused[1]["errorCode"]) == (
        "rejected",
        400,
        "InvalidCertificateOwnershipToken",
    )
    assert other not in [each["thingName"] for each in nodes.iot.list_things()["things"]]


def test_two_nodes_that_are_shown_one_token_at_once_register_one_thing(nodes: Nodes, tmp_path: Path) -> None:
    name, credentials = created(nodes.iot, unique("identity")), new_credentials(nodes.iot)
    topic = f"$aws/provisioning-templates/{name}/provision/json"
    with (
        device(nodes.first, credentials, tmp_path, unique("first")) as first,
        device(nodes.second, credentials, tmp_path, unique("second")) as second,
    ):
        for _ in range(5):
            token = first.request(CREATE, {})["certificateOwnershipToken"]
            for each in (first, second):
                request = {"certificateOwnershipToken": token, "parameters": {"Serial": unique("raced")}}
                each.client.publish(topic, json.dumps(request).encode(), qos=1)
            outcomes = sorted(each.hear().topic.rpartition("/")[2] for each in (first, second))
            assert outcomes == ["accepted", "rejected"]
