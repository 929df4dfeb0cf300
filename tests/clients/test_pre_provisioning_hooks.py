"""Pre-provisioning hooks of a running service: a webhook and a Python callable decide which devices are registered."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import provided_pem_for
from tests.support.clients.aws import IoT, Live
from tests.support.devices.live_devices import ROLE, Credentials, Device, device, new_credentials
from tests.support.machine.webhook_server import webhook_server
from tests.support.services.service import ended_start, running_service

from thingmint.hooks.python_callable import MAX_THREADS

ARN = "arn:aws:lambda:us-east-1:000000000000:function:"
CREATE = "$aws/certificates/create/json"
CALLABLE = """
import json
import time
from functools import partial, wraps
from pprint import pprint


def decide(question):
    serial = question["parameters"]["Serial"]
    return {"allowProvisioning": serial.startswith("good"), "parameterOverrides": {"Room": "hall"}}


def handler(event, context):
    # As AWS's samples: the event is printed, and the account is read from the function's ARN.
    print("Received event: " + json.dumps(event, indent=2))
    pprint(context.invoked_function_arn)
    assert 0 < context.get_remaining_time_in_millis() <= 5000
    room = f"{context.function_name} {context.invoked_function_arn.split(':')[4]}"
    return {"allowProvisioning": True, "parameterOverrides": {"Room": room.replace(" ", "-")}}


async def handler_later(event, context):
    return handler(event, context)


class Handler:
    def __call__(self, event, context):
        return handler(event, context)


def logged(function):
    @wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


instance, wrapped = Handler(), logged(handler)
bound = partial(lambda setting, event, context: handler(event, context), 1)


def slow(event, context):
    time.sleep(0.5)
    return {"allowProvisioning": True}


def hangs(event, context):
    # Far longer than a device waits, on a busy machine as well.
    time.sleep(60)
    return {"allowProvisioning": True}


def sign(event, context):
    assert event.keys() == {"certificateSigningRequest", "principalId", "clientId"}
    from pathlib import Path

    return {"certificatePem": Path(__file__).with_name(f"{context.function_name}.pem").read_text()}


def broken(event, context):
    return {"allowProvisioning": int(event["parameters"]["Serial"]) > 0}
"""
HANDLERS = ("handler", "handler_later", "instance", "bound", "wrapped")


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
            **{name: f"python:factory_hooks:{name}" for name in (*HANDLERS, "slow", "hangs", "sign", "broken")},
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


@pytest.mark.parametrize("hook", HANDLERS)
def test_a_handler_written_for_lambda_runs_unchanged(house: House, hook: str) -> None:
    template_with(house, hook, f"by-{hook}")
    with device(house.live, new_credentials(house.iot), house.folder, f"claim-{hook}") as claim:
        outcome, answer, _ = asked_to_register(claim, f"by-{hook}", f"lambda-{hook}")
    assert (outcome, answer.get("thingName")) == ("accepted", f"lambda-{hook}")
    described = house.iot.describe_thing(thingName=f"lambda-{hook}")
    assert described["attributes"] == {"room": f"{hook}-000000000000"}


def test_what_handlers_print_does_not_break_the_json_log(house: House) -> None:
    template_with(house, "handler", "by-printing")
    with device(house.live, new_credentials(house.iot), house.folder, "claim-printing") as claim:
        assert asked_to_register(claim, "by-printing", "printed-serial")[0] == "accepted"
    lines = log_lines(house)
    printed = [line["line"] for line in lines if line["event"] == "printed"]
    assert "Received event: {" in printed
    assert '    "Serial": "printed-serial"' in printed


def log_lines(house: House) -> list[dict[str, Any]]:
    """Return the lines of the log, each of which is an object: behind the greeting, nothing else is written."""
    written = house.live.service.log_file.read_text()
    return [json.loads(line) for line in written.splitlines() if line.strip()]


def test_the_log_tells_what_a_handler_raised_and_where_and_no_parameter(house: House) -> None:
    template_with(house, "broken", "by-broken")
    with device(house.live, new_credentials(house.iot), house.folder, "claim-broken") as claim:
        outcome, answer, _ = asked_to_register(claim, "by-broken", "secret-serial")
    assert (outcome, answer["statusCode"], answer["errorCode"]) == ("rejected", 403, "AccessDenied")
    (failed,) = [line for line in log_lines(house) if line.get("hook") == f"{ARN}broken"]
    number = CALLABLE.splitlines().index('    return {"allowProvisioning": int(event["parameters"]["Serial"]) > 0}') + 1
    place = f"({house.folder / 'factory_hooks.py'}, line {number})"
    said = f"the callable raised ValueError: invalid literal for int() with base 10: '<Serial>' {place}"
    assert failed["cause"] == said


def answers_at_once(house: House, template: str, devices: int) -> list[paho.MQTTMessage]:
    """Return what as many devices hear that ask for the template at once."""
    topic = f"$aws/provisioning-templates/{template}/provision/json"
    credentials = new_credentials(house.iot)
    with ExitStack() as stack:
        claims = [
            stack.enter_context(device(house.live, credentials, house.folder, f"{template}-{number}"))
            for number in range(devices)
        ]
        tokens = [claim.request(CREATE, {})["certificateOwnershipToken"] for claim in claims]
        for number, (claim, token) in enumerate(zip(claims, tokens, strict=True)):
            request = {"certificateOwnershipToken": token, "parameters": {"Serial": f"{template}-{number}"}}
            claim.client.publish(topic, json.dumps(request).encode(), qos=1)
        return [claim.hear() for claim in claims]


def test_more_devices_at_once_than_threads_wait_and_are_provisioned(house: House) -> None:
    template_with(house, "slow", "by-slow")
    heard = answers_at_once(house, "by-slow", MAX_THREADS + 4)
    assert [each.topic.rpartition("/")[2] for each in heard] == ["accepted"] * (MAX_THREADS + 4)


def test_a_device_that_finds_no_thread_in_time_is_told_to_come_again(house: House) -> None:
    template_with(house, "hangs", "by-hanging")
    answers = [json.loads(each.payload) for each in answers_at_once(house, "by-hanging", MAX_THREADS + 1)]
    refusals = sorted((answer["statusCode"], answer["errorCode"]) for answer in answers)
    assert refusals == [(403, "AccessDenied")] * MAX_THREADS + [(429, "Throttled")]


def test_a_certificate_provider_written_for_lambda_runs_unchanged(house: House) -> None:
    pem = provided_pem_for("p-256", at=datetime.now(UTC))
    (house.folder / "sign.pem").write_text(pem)
    house.iot.create_certificate_provider(
        certificateProviderName="factory",
        lambdaFunctionArn=f"{ARN}sign",
        accountDefaultForOperations=["CreateCertificateFromCsr"],
    )
    try:
        with device(house.live, new_credentials(house.iot), house.folder, "claim-sign") as claim:
            request = {"certificateSigningRequest": csr_pem("p-256")}
            created = claim.request("$aws/certificates/create-from-csr/json", request)
    finally:
        house.iot.delete_certificate_provider(certificateProviderName="factory")
    assert created["certificatePem"] == pem


# All reasons are in tests/hooks/test_handler_signature.py and test_targets.py.
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def hook(event, *, context): return {}", "its signature is (event, *, context)"),
        ("import sys; sys.exit('no table')", "cannot be imported: SystemExit: no table"),
    ],
)
def test_a_callable_that_cannot_be_called_ends_the_start(tmp_path: Path, code: str, reason: str) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (tmp_path / "bad_hooks.py").write_text(code)
    (data_dir / "thingmint.toml").write_text(f'[hooks]\n"{ARN}bad" = "python:bad_hooks:hook"\n')
    said = ended_start(data_dir, environment={"PYTHONPATH": str(tmp_path)})
    assert f"hooks.{ARN}bad: bad_hooks" in said
    assert reason in said
