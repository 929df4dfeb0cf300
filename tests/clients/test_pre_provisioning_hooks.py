"""Pre-provisioning hooks of a running service: a webhook and a Python callable decide which devices are registered."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from tests.support.aws import IoT, Live
from tests.support.live_devices import ROLE, Credentials, Device, device, new_credentials
from tests.support.service import running_service
from tests.support.webhook_server import webhook_server

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
CREATE = "$aws/certificates/create/json"
CALLABLE = """
def decide(question):
    serial = question["parameters"]["Serial"]
    return {"allowProvisioning": serial.startswith("good"), "parameterOverrides": {"Room": "hall"}}
"""


@dataclass
class Webhook:
    """A webhook that decides by the serial number, and remembers what it was asked."""

    port: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def webhook() -> Iterator[Webhook]:
    told = Webhook()

    def answer(body: bytes, headers: Message) -> bytes:
        del headers
        told.asked.append(json.loads(body))
        is_good = told.asked[-1]["parameters"]["Serial"].startswith("good")
        return json.dumps({"allowProvisioning": is_good, "parameterOverrides": {"Room": "hall"}}).encode()

    with webhook_server(answer) as told.port:
        yield told


@dataclass
class House:
    """A service with both kinds of hook."""

    live: Live
    iot: IoT
    webhook: Webhook
    folder: Path


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("hooks")
    data_dir = folder / "data"
    data_dir.mkdir()
    (folder / "factory_hooks.py").write_text(CALLABLE)
    with webhook() as told:
        hooks = {
            "webhook": f"http://127.0.0.1:{told.port}/",
            "callable": "python:factory_hooks:decide",
            "away": "http://127.0.0.1:1/",
        }
        lines = "".join(f'"{ARN}{name}" = "{target}"\n' for name, target in hooks.items())
        (data_dir / "thingmint.toml").write_text(f"[hooks]\n{lines}")
        with running_service(data_dir, environment={"PYTHONPATH": str(folder)}) as service:
            live = Live(service, None)
            iot = live.client()
            service.closers.append(iot.close)
            yield House(live, iot, told, folder)


def template_with(house: House, hook: str, name: str) -> None:
    body = {
        "Parameters": {"Serial": {"Type": "String"}, "Room": {"Type": "String", "Default": "none"}},
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {"ThingName": {"Ref": "Serial"}, "AttributePayload": {"room": {"Ref": "Room"}}},
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
            },
        },
    }
    house.iot.create_provisioning_template(
        templateName=name,
        templateBody=json.dumps(body),
        provisioningRoleArn=ROLE,
        enabled=True,
        preProvisioningHook={"targetArn": ARN + hook},
    )


def asked_to_register(claim: Device, template: str, serial: str) -> tuple[str, dict[str, Any], str]:
    created = claim.request(CREATE, {})
    request = {"certificateOwnershipToken": created["certificateOwnershipToken"], "parameters": {"Serial": serial}}
    topic = f"$aws/provisioning-templates/{template}/provision/json"
    answered, payload = claim.ask(topic, json.dumps(request).encode())
    return answered.rpartition("/")[2], json.loads(payload), created["certificateId"]


@pytest.mark.parametrize("hook", ["webhook", "callable"])
def test_hook_decides_who_is_registered_and_may_change_parameters(house: House, hook: str) -> None:
    template_with(house, hook, f"by-{hook}")
    good, bad = f"good-{hook}", f"bad-{hook}"
    credentials: Credentials = new_credentials(house.iot)
    with device(house.live, credentials, house.folder, f"claim-{hook}") as claim:
        outcome, answer, _ = asked_to_register(claim, f"by-{hook}", good)
        assert (outcome, answer["thingName"]) == ("accepted", good)
        outcome, answer, certificate_id = asked_to_register(claim, f"by-{hook}", bad)
        assert (outcome, answer["statusCode"]) == ("rejected", 403)
    assert house.iot.describe_thing(thingName=good)["attributes"] == {"room": "hall"}
    assert bad not in [each["thingName"] for each in house.iot.list_things()["things"]]
    described = house.iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]
    assert described["status"] == "PENDING_ACTIVATION"


def test_webhook_is_told_what_aws_tells(house: House) -> None:
    template_with(house, "webhook", "told")
    credentials = new_credentials(house.iot)
    with device(house.live, credentials, house.folder, "claim-told") as claim:
        _, _, certificate_id = asked_to_register(claim, "told", "good-told")
    question = house.webhook.asked[-1]
    assert (question["claimCertificateId"], question["certificateId"], question["clientId"]) == (
        credentials.certificate_id,
        certificate_id,
        "claim-told",
    )
    assert question["templateArn"].endswith(":provisioningtemplate/told")


@pytest.mark.parametrize("hook", ["away", "absent"])
def test_hook_that_cannot_be_asked_refuses(house: House, hook: str) -> None:
    template_with(house, hook, f"by-{hook}")
    with device(house.live, new_credentials(house.iot), house.folder, f"claim-{hook}") as claim:
        outcome, answer, _ = asked_to_register(claim, f"by-{hook}", "good-nobody")
    assert (outcome, answer["statusCode"]) == ("rejected", 403)
    assert "good-nobody" not in [each["thingName"] for each in house.iot.list_things()["things"]]
