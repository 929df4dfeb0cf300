"""The examples that AWS publishes with its command line, replayed in one account: what AWS documents works here.

The commands are read from the AWS CLI's own package. Names stay as they are; ids, regions and files are put in that
exist. Each command has one outcome, and a refusal is one that AWS's model knows for the operation.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import awscli
import pytest
from botocore import xform_name
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import new_ca
from tests.support.clients.aws import AccessKey, ClientOf, IoT, Live, allow, policy
from tests.support.registration.provisioning import BODY

from thingmint.api.service import OPERATIONS
from thingmint.api.wire.planes import Plane

EXAMPLES = Path(awscli.__file__).parent / "examples" / "iot"
ACCOUNT, OTHER = "123456789012", "030714055129"
ROLE = "arn:aws:iam::123456789012:role/Provision_role"
COMMANDS = {xform_name(each.name, "-"): each.name for each in OPERATIONS if each.plane is Plane.CONTROL}
VERBS = (
    *("create", "register", "attach", "add", "tag", "set", "update", "test", "describe", "get", "list"),
    *("transfer", "cancel", "accept", "reject", "remove", "untag", "detach", "deprecate", "delete"),
)
# Examples that are no commands that the AWS CLI could run.
SKIPPED = {
    "add-thing-to-billing-group 2": "the command is that of thing groups, with the options of billing groups",
    "create-thing 2": "the shell takes the quotes out of the JSON, so that it is none",
    "update-thing 1": "the shell takes the quotes out of the JSON, so that it is none",
    "get-policy-version 1": "the command is that of get-policy, and breaks off in its second line",
}
# What these ask for does not hold after those before them: the CA is not active, or active again; what is to be deleted
# is in use, in force, or not deprecated any more; and with a template its versions went.
REFUSED = {
    "register-certificate 1": "CertificateStateException",
    "delete-ca-certificate 1": "CertificateStateException",
    "delete-policy 1": "DeleteConflictException",
    "delete-policy-version 1": "DeleteConflictException",
    "delete-provisioning-template-version 1": "ResourceNotFoundException",
    "delete-thing-type 1": "InvalidRequestException",
}
_BLOCK = re.compile(r"::[ ]*\n\n((?:[ ]{4}.*\n|\n)+)")
_ID = re.compile(r"\b[0-9a-f]{20,}(?:EXAMPLE)?[0-9a-f]{20,}\b")
_ERROR = re.compile(r"An error occurred \((\w+)\) when calling the (\w+) operation")


@dataclass(frozen=True)
class Example:
    """One command of the documentation."""

    command: str
    number: int
    text: str

    @property
    def name(self) -> str:
        """The command and which of its examples it is."""
        return f"{self.command} {self.number}"

    def arguments(self, ids: Mapping[str, str], region: str) -> list[str]:
        """Return what the CLI is called with, ids and regions being those of the service."""
        certificate_id = ids.get(
            self.command, ids["ca" if "ca-cert" in self.command or "by-ca" in self.command else ""]
        )
        text = _ID.sub(certificate_id, self.text.replace("us-west-2", region)).replace("094249569039", ACCOUNT)
        return shlex.split(text)[1:]


def examples() -> Iterator[Example]:
    """Return the examples of all operations that Thingmint has, in an order in which they make sense."""
    present = [path for path in EXAMPLES.glob("*.rst") if path.stem in COMMANDS]
    for path in sorted(present, key=lambda path: (VERBS.index(path.stem.split("-")[0]), path.stem)):
        blocks = [block.strip() for block in _BLOCK.findall(path.read_text()) if block.strip().startswith("aws iot")]
        for number, text in enumerate(blocks, 1):
            yield Example(path.stem, number, text.replace("\\\n", " "))


@pytest.fixture
def key(live: Live) -> AccessKey:
    """A key of the account that the examples are written in."""
    return live.create_access_key(policy(allow("*")), "--account", ACCOUNT)


@pytest.fixture
def ids(live: Live, key: AccessKey, client_of: ClientOf, tmp_path: Path) -> Mapping[str, str]:
    """What the examples take for granted, by the command that works on it: everything that they do not create."""
    iot = client_of(live, key)
    other = client_of(live, live.create_access_key(policy(allow("*")), "--account", OTHER))
    document = json.dumps(policy(allow("iot:Connect")))
    (tmp_path / "policy.json").write_text(document)
    (tmp_path / "certificate.csr").write_text(csr_pem("p-256"))
    (tmp_path / "template.json").write_text(BODY)
    for name in ("UpdateDeviceCertPolicy", "MyFirstGroup_Core-policy", "LightBulbPolicy", "MyIotPolicy"):
        iot.create_policy(policyName=name, policyDocument=document)
    for name in ("MyLightBulb", "MyOtherLightBulb", "MyTemperatureSensor", "TemperatureSensor-001", "MyRaspberryPi"):
        iot.create_thing(thingName=name)
    iot.create_thing(thingName="bulb7")
    for name in ("DeadBulbs", "DefectiveBulbs", "replaceableItems"):
        iot.create_thing_group(thingGroupName=name)
    for name in ("obsoleteThingType", "VirtualThings"):
        iot.create_thing_type(thingTypeName=name)
    iot.create_billing_group(billingGroupName="BillingGroupTwo")
    iot.create_provisioning_template(
        templateName="MyTestProvisioningTemplate", templateBody=BODY, provisioningRoleArn=ROLE, enabled=True
    )
    _write_ca(iot, tmp_path)
    offered = {command: _offered(other) for command in ("accept-certificate-transfer", "reject-certificate-transfer")}
    return {
        "": _certificate(iot, active=True),
        "ca": _ca(iot),
        "transfer-certificate": _certificate(iot),
        "cancel-certificate-transfer": _offered(iot, OTHER),
        "delete-certificate": _certificate(iot),
        **offered,
    }


def _certificate(iot: IoT, *, active: bool = False) -> str:
    created = iot.create_certificate_from_csr(certificateSigningRequest=csr_pem("p-256"), setAsActive=active)
    return str(created["certificateId"])


def _offered(iot: IoT, target: str = ACCOUNT) -> str:
    certificate_id = _certificate(iot)
    iot.transfer_certificate(certificateId=certificate_id, targetAwsAccount=target)
    return certificate_id


def _ca(iot: IoT) -> str:
    ca = new_ca("CA of the examples", at=datetime.now(UTC))
    return str(iot.register_ca_certificate(caCertificate=ca.pem, certificateMode="SNI_ONLY")["certificateId"])


def _write_ca(iot: IoT, folder: Path) -> None:
    now, code = datetime.now(UTC), iot.get_registration_code()["registrationCode"]
    root = new_ca("Root of the examples", at=now)
    (folder / "rootCA.pem").write_text(root.pem)
    (folder / "verificationCert.pem").write_text(root.issue_pem(code, at=now))
    (folder / "deviceCert.pem").write_text(root.issue_pem(at=now))


def replayed(live: Live, key: AccessKey, folder: Path, commands: list[list[str]]) -> list[dict[str, object]]:
    """Return what the AWS CLI did with each of the commands."""
    environment = {
        **live.service.environment,
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "HOME": str(folder),
    }
    finished = subprocess.run(
        [sys.executable, "-m", "tests.support.clients.aws_cli_batch"],
        input=json.dumps(commands),
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    outcomes: list[dict[str, object]] = json.loads(finished.stdout)
    return outcomes


def test_every_published_example_does_what_it_is_said_to_do(
    live: Live, key: AccessKey, ids: Mapping[str, str], iot: IoT, tmp_path: Path
) -> None:
    played = [example for example in examples() if example.name not in SKIPPED]
    commands = [example.arguments(ids, live.service.endpoints.region) for example in played]

    seen: dict[str, str] = {}
    for example, outcome in zip(played, replayed(live, key, tmp_path, commands), strict=True):
        refusal = _ERROR.search(str(outcome["errors"]))
        if refusal is None:
            assert outcome["status"] == 0, (example.name, outcome)
            continue
        modelled = [shape.name for shape in iot.meta.service_model.operation_model(refusal[2]).error_shapes]
        assert refusal[1] in modelled, (example.name, outcome)
        seen[example.name] = refusal[1]
    assert seen == REFUSED
    assert len(played) > 80


def test_what_is_skipped_is_there() -> None:
    assert SKIPPED.keys() <= {example.name for example in examples()}
