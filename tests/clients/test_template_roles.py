"""What templates may do on a running service: roles limit fleets, files and first connections, Deny limits callers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.clients.test_boto3_bulk_registration import ended, report
from tests.support.clients.aws import ClientOf, IoT, Live, allow, deny, policy, refusal_of
from tests.support.devices.device_identities import new_identity
from tests.support.devices.live_devices import Credentials, device, is_admitted, new_credentials, unique
from tests.support.registration.bulk import BUCKET, KEY, write_input
from tests.support.registration.fleet import DOCUMENT
from tests.support.services.service import ended_start, running_service

ROLES = "arn:aws:iam::000000000000:role/"
CREATE = "$aws/certificates/create/json"
ARN = "arn:aws:iot:us-east-1:000000000000:"
STEPS = ("CreatePolicy", "AttachPolicy", "UpdateCertificate", "CreateThing", "AttachThingPrincipal")


def body(certificate_id: str = "AWS::IoT::Certificate::Id", name: str = "Serial") -> str:
    return json.dumps(
        {
            "Parameters": {each: {"Type": "String"} for each in dict.fromkeys((name, certificate_id))},
            "Resources": {
                "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": name}}},
                "certificate": {
                    "Type": "AWS::IoT::Certificate",
                    "Properties": {"CertificateId": {"Ref": certificate_id}},
                },
                "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": DOCUMENT}},
            },
        }
    )


@pytest.mark.parametrize("step", STEPS)
def test_what_a_policy_denies_its_key_is_not_done_by_register_thing_either(
    live: Live, iot: IoT, client_of: ClientOf, step: str
) -> None:
    created = iot.create_keys_and_certificate()
    key = live.create_access_key(policy(allow("iot:RegisterThing"), deny(f"iot:{step}")))
    serial = unique("denied")
    given = {"templateBody": body("Id"), "parameters": {"Serial": serial, "Id": created["certificateId"]}}
    refusal = refusal_of(client_of(live, key).register_thing, **given)
    assert (refusal.name, refusal.status) == ("AccessDeniedException", 403)
    assert f"is not authorized to perform: iot:{step} on resource: {ARN}" in refusal.message
    assert "with an explicit deny" in refusal.message
    described = iot.describe_certificate(certificateId=created["certificateId"])["certificateDescription"]
    assert described["status"] == "INACTIVE"
    # As AWS documents it, iot:RegisterThing is all that a key needs where nothing is denied.
    alone = live.create_access_key(policy(allow("iot:RegisterThing")))
    assert client_of(live, alone).register_thing(**given)["resourceArns"]["thing"] == f"{ARN}thing/{serial}"


def test_a_deny_for_one_resource_is_for_that_one(live: Live, iot: IoT, client_of: ClientOf) -> None:
    created = iot.create_keys_and_certificate()
    key = live.create_access_key(
        policy(allow("iot:RegisterThing"), deny("iot:CreateThing", resource=f"{ARN}thing/denied-*"))
    )
    client = client_of(live, key)
    given = {"Id": created["certificateId"]}
    for serial, is_denied in ((unique("denied"), True), (unique("granted"), False)):
        call = {"templateBody": body("Id"), "parameters": given | {"Serial": serial}}
        if is_denied:
            assert refusal_of(client.register_thing, **call).name == "AccessDeniedException"
        else:
            assert client.register_thing(**call)["resourceArns"]["thing"].endswith(serial)


@pytest.mark.parametrize(
    "given",
    [{"templateBody": "{"}, {"templateBody": body("Id"), "parameters": {"Serial": "x"}}, {"templateBody": "{}"}],
)
def test_a_request_that_makes_no_plan_is_told_so(live: Live, client_of: ClientOf, given: dict[str, object]) -> None:
    key = live.create_access_key(policy(allow("iot:RegisterThing"), deny("iot:CreateThing")))
    assert refusal_of(client_of(live, key).register_thing, **given).name == "InvalidRequestException"


@dataclass
class House:
    """A service in whose settings two roles have policies."""

    live: Live
    iot: IoT
    folder: Path


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("roles")
    data_dir, buckets = folder / "data", folder / "buckets"
    data_dir.mkdir()
    buckets.mkdir()
    sensors = policy(
        allow("iot:CreatePolicy", "iot:AttachPolicy", "iot:UpdateCertificate", "iot:AttachThingPrincipal"),
        allow("iot:CreateThing", resource=f"{ARN}thing/sensor-*"),
        deny("iot:CreateThing", resource=f"{ARN}thing/sensor-13"),
    )
    (data_dir / "sensors.json").write_text(json.dumps(sensors))
    nothing = json.dumps(policy(allow("iot:ListThings")))
    table = f'"{ROLES}sensors" = "sensors.json"\n"{ROLES}nothing" = \'{nothing}\'\n'
    (data_dir / "thingmint.toml").write_text(f"[roles]\n{table}")
    with running_service(data_dir, "--registration-dir", str(buckets)) as service:
        live = Live(service, None)
        iot = live.client()
        service.closers.append(iot.close)
        yield House(live, iot, folder)


def test_the_role_of_a_fleets_template_limits_what_it_does(house: House) -> None:
    outcomes = {}
    with device(house.live, new_credentials(house.iot), house.folder, unique("claim")) as claim:
        for role, serial in (
            ("sensors", "sensor-1"),
            ("sensors", "lock-1"),
            ("nothing", "sensor-2"),
            ("other", "lock-2"),
        ):
            name = unique("roles")
            house.iot.create_provisioning_template(
                templateName=name, templateBody=body(), provisioningRoleArn=ROLES + role, enabled=True
            )
            token = claim.request(CREATE, {})["certificateOwnershipToken"]
            request = {"certificateOwnershipToken": token, "parameters": {"Serial": serial}}
            topic, payload = claim.ask(
                f"$aws/provisioning-templates/{name}/provision/json", json.dumps(request).encode()
            )
            outcomes[role, serial] = topic.rpartition("/")[2], json.loads(payload)
    assert {key: outcome for key, (outcome, _) in outcomes.items()} == {
        ("sensors", "sensor-1"): "accepted",
        ("sensors", "lock-1"): "rejected",
        ("nothing", "sensor-2"): "rejected",
        ("other", "lock-2"): "accepted",
    }
    refused = outcomes["sensors", "lock-1"][1]
    assert (refused["statusCode"], refused["errorCode"]) == (403, "AccessDenied")
    assert f"User: {ROLES}sensors is not authorized to perform: iot:CreateThing" in refused["errorMessage"]
    assert "lock-1" not in [each["thingName"] for each in house.iot.list_things()["things"]]


def test_the_role_of_a_task_limits_what_its_lines_do(house: House) -> None:
    text = json.dumps({**json.loads(body("Id")), "Parameters": {"Serial": {"Type": "String"}}})
    document = json.loads(text)
    del document["Resources"]["certificate"]
    lines = [{"Serial": serial} for serial in ("sensor-10", "lock-10", "sensor-13", "sensor-14")]
    write_input(house.live.registration_dir, lines, house.live.account)
    file = {"inputFileBucket": BUCKET, "inputFileKey": KEY, "roleArn": f"{ROLES}sensors"}
    started = house.iot.start_thing_registration_task(templateBody=json.dumps(document), **file)
    task = ended(house.iot, started["taskId"])
    assert (task["status"], task["successCount"], task["failureCount"]) == ("Completed", 2, 2)
    refused = {each["lineNumber"]: each["errorMessage"] for each in report(house.iot, task["taskId"], "ERRORS")}
    # What nothing allows and what is denied: each refuses its own line, and the lines after it are registered.
    assert sorted(refused) == [2, 3]
    assert "iot:CreateThing on resource" in refused[2]
    assert "with an explicit deny" in refused[3]


def test_lines_are_done_with_the_role_that_the_caller_passes_and_not_with_its_own_rights(
    house: House, client_of: ClientOf
) -> None:
    document = json.loads(body())
    del document["Resources"]["certificate"], document["Parameters"]["AWS::IoT::Certificate::Id"]
    write_input(house.live.registration_dir, [{"Serial": "sensor-30"}], house.live.account)
    role = f"{ROLES}sensors"
    task = {
        "templateBody": json.dumps(document),
        "inputFileBucket": BUCKET,
        "inputFileKey": KEY,
        "roleArn": role,
    }
    operator = (allow("iot:*"), deny("iot:CreateThing"), deny("iot:CreatePolicy"))
    limited = client_of(house.live, house.live.create_access_key(policy(*operator)))
    assert "iam:PassRole" in refusal_of(limited.start_thing_registration_task, **task).message

    may_pass = policy(*operator, allow("iam:PassRole", resource=role))
    passing = client_of(house.live, house.live.create_access_key(may_pass))
    started = ended(house.iot, passing.start_thing_registration_task(**task)["taskId"])

    assert (started["status"], started["successCount"], started["failureCount"]) == ("Completed", 1, 0)


@pytest.mark.parametrize(("name", "is_provisioned"), [("sensor-20", True), ("lock-20", False)])
def test_the_role_of_a_ca_limits_what_a_first_connection_does(house: House, name: str, *, is_provisioned: bool) -> None:
    ca = new_identity(unique("CA"), is_authority=True)
    own = new_identity(name, issuer=ca)
    text = body(name="AWS::IoT::Certificate::CommonName")
    house.iot.register_ca_certificate(
        caCertificate=ca.chain_pem.decode(),
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=True,
        registrationConfig={"templateBody": text, "roleArn": f"{ROLES}sensors"},
    )
    credentials = Credentials(own.certificate_id, own.chain_pem.decode(), own.key_pem.decode())
    assert not is_admitted(house.live, credentials, house.folder)
    things = [each["thingName"] for each in house.iot.list_things()["things"]]
    assert (name in things) is is_provisioned


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('"nobody" = "{}"', "roles.nobody: the name is neither the ARN of an IAM role"),
        (f'"{ROLES}x" = "missing.json"', "missing.json cannot be read"),
        (f'"{ROLES}x" = "{{}}"', "the policy has no Statement"),
    ],
)
def test_a_table_that_cannot_be_used_ends_the_start(tmp_path: Path, line: str, reason: str) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "thingmint.toml").write_text(f"[roles]\n{line}\n")
    assert reason in ended_start(data_dir)
