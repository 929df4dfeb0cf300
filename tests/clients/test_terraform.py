"""Terraform with AWS's provider, where a machine has both: applied, planned again, changed, imported and destroyed.

Each command reads the schemas of all of AWS's resources, which takes nearly all of its time. So the configurations
are modules of one: certificates, the examples in the provider's documentation, a fleet's registry, and other texts.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.support.certificates.signing_requests import DEVICE, csr_pem, key_of
from tests.support.certificates.user_ca import CA_EXTENSION, UserCA, key_usage, new_ca
from tests.support.clients.aws import IoT, Live
from tests.support.clients.terraform import Terraform, ready_terraform
from tests.support.databases.database import tables_of
from tests.support.databases.postgresql import new_database
from tests.support.machine.soak import ONE_ENGINE
from tests.support.services.service import running_service

pytestmark = pytest.mark.long

CONFIGURATIONS = Path(__file__).with_name("terraform")
IMPORTED = {
    "aws_iot_policy.pubsub": "PubSubToAnyTopic",
    "aws_iot_thing.example": "example",
    "aws_iot_thing_type.full": "my_iot_thing_in_full",
    "aws_iot_thing_group.parent": "parent",
    "aws_iot_thing_group.example": "example",
    "aws_iot_thing_group_membership.plain": "described/example",
    "aws_iot_billing_group.example": "example",
    "aws_iot_role_alias.alias": "Thermostat-dynamodb-access-role-alias",
    "aws_iot_provisioning_template.fleet": "FleetTemplate",
}
"""What of the documented examples can be imported, and by which id."""
STORED = (
    "thing",
    "thing_attribute",
    "thing_type",
    "thing_group",
    "thing_group_member",
    "thing_principal",
    "billing_group",
    "certificate",
    "policy",
    "policy_version",
    "policy_attachment",
    "provisioning_template",
    "provisioning_template_version",
    "ca_certificate",
    "role_alias",
    "tag",
)
"""What the configurations fill."""
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "crlf": lambda pem: pem.replace("\n", "\r\n"),
    "openssl": lambda pem: written_by_openssl(pem),
    "bag": lambda pem: f"Bag Attributes\n    localKeyID: 01 02\nsubject=CN = device\nissuer=CN = another\n{pem}",
}


@pytest.fixture(params=ONE_ENGINE)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    """A service of its own: what is left after Terraform is all there is. Types can be deleted without AWS's wait."""
    urls: Iterator[str | None] = iter([None])
    if request.param == "postgresql":
        urls = new_database(request.getfixturevalue("postgresql_server_url"))
    for url in urls:
        database = () if url is None else ("--database-url", url)
        with running_service(tmp_path / "data", "--thing-type-deletable-after", "0", *database) as service:
            yield Live(service, url)


@pytest.fixture
def client(registry: Live) -> Iterator[IoT]:
    """AWS's SDK, to see what Terraform has made."""
    with closing(registry.client()) as client:
        yield client


@pytest.fixture
def terraform(registry: Live, client: IoT, tmp_path: Path) -> Terraform:
    """Terraform, ready to apply, with the files that the configurations read."""
    code = client.get_registration_code()["registrationCode"]
    another, documented, of_plant = new_ca("another", at=now()), documented_ca(), new_ca("Terraform CA", at=now())
    pems = {
        "device.csr": csr_pem("p-256"),
        "existing.pem": another.issue_pem(at=now()),
        "ca.pem": documented.pem,
        "verification.pem": documented.issue_pem(code, at=now()),
        "plant.pem": of_plant.pem,
        "plant-verification.pem": of_plant.issue_pem(code, at=now()),
    }
    for name, spell in SPELLINGS.items():
        ca = new_ca(f"CA {name}", at=now())
        pems[f"{name}.pem"], pems[f"ca-{name}.pem"] = spell(another.issue_pem(at=now())), spell(ca.pem)
        if name == "plain":
            pems["of-ca.pem"] = ca.issue_pem(at=now())
    shutil.copytree(CONFIGURATIONS, tmp_path / "configurations")
    for name, pem in pems.items():
        (tmp_path / "configurations" / name).write_bytes(pem.encode())
    configuration = (CONFIGURATIONS / "main.tf").read_text()
    return ready_terraform(registry, tmp_path / "configurations", configuration, one_provider=True)


def now() -> datetime:
    return datetime.now(UTC)


def documented_ca() -> UserCA:
    """Return the CA that hashicorp/tls makes for the example: its key usage is that of its allowed uses alone."""
    key = key_of("rsa-2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    usages = key_usage(digital_signature=True, key_encipherment=True)
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return new_ca("example.com", key=key, extensions=[(usages, True), (server, False), CA_EXTENSION], at=now())


def written_by_openssl(pem: str) -> str:
    """Return the certificate as ``openssl x509 -text`` prints it."""
    command = ["openssl", "x509", "-text"]
    return subprocess.run(command, input=pem, capture_output=True, text=True, check=True).stdout


def test_configurations_are_applied_changed_imported_and_destroyed(
    terraform: Terraform, registry: Live, client: IoT
) -> None:
    terraform.apply("stage=1")
    terraform.assert_nothing_to_change("stage=1")
    outputs = outputs_of(terraform)
    ids = assert_made_as_first_asked(client, outputs)
    assert {name: count for name, count in counts(registry).items() if count == 0} == {}

    terraform.apply("stage=2")
    terraform.assert_nothing_to_change("stage=2")
    assert_registry_is_changed(client, outputs["certificates_of_the_registry"])

    terraform.apply("stage=3")
    terraform.assert_nothing_to_change("stage=3")
    assert_nothing_is_left_that_the_last_stage_does_not_name(client)

    addresses = {f"module.examples.{address}": name for address, name in IMPORTED.items()}
    terraform.must("state rm", *addresses)
    blocks = (f'import {{\n  to = {to}\n  id = "{name}"\n}}\n' for to, name in addresses.items())
    imports = terraform.folder / "imports.tf"
    imports.write_text("".join(blocks))
    imported = terraform.apply("stage=3")
    assert f"{len(IMPORTED)} imported, 0 added, 0 changed, 0 destroyed" in imported
    imports.unlink()
    terraform.assert_nothing_to_change("stage=3")

    terraform.destroy("stage=3")
    assert {name: count for name, count in counts(registry).items() if count > 0} == {}
    for certificate_id in ids:
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.describe_certificate(certificateId=certificate_id)


def outputs_of(terraform: Terraform) -> dict[str, Any]:  # parsed JSON
    """Return the outputs of the configurations."""
    return {name: output["value"] for name, output in json.loads(terraform.must("output", "-json")).items()}


def assert_made_as_first_asked(client: IoT, outputs: dict[str, Any]) -> list[str]:
    """Assert that certificates and outputs are those of the configuration, and return the certificates' ids."""
    ids = [arn.rpartition("/")[2] for arn in outputs["arns"]]
    statuses = [client.describe_certificate(certificateId=i)["certificateDescription"]["status"] for i in ids]
    assert statuses == ["ACTIVE", "INACTIVE"]
    assert outputs["endpoint"].partition(":")[0] == "localhost"
    assert outputs["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    certificate = x509.load_pem_x509_certificate(outputs["certificate_pem"].encode())
    assert (certificate.subject, certificate.public_key()) == (DEVICE, key_of("p-256").public_key())
    return ids


def assert_registry_is_changed(client: IoT, certificates: list[str]) -> None:
    """Assert that the fleet's registry is what the second stage asks for."""
    assert client.describe_thing(thingName="tf-lamp-1")["attributes"] == {"colour": "blue"}
    policy = client.get_policy(policyName="tf-publish")
    assert (policy["defaultVersionId"], "topic/bulbs" in policy["policyDocument"]) == ("2", True)
    assert client.describe_billing_group(billingGroupName="tf-tenant")["version"] == 2
    alias = client.describe_role_alias(roleAlias="tf-uploads")["roleAliasDescription"]
    assert alias["credentialDurationSeconds"] == 7200
    assert client.describe_provisioning_template(templateName="tf-fleet")["enabled"] is False
    assert client.list_things_in_thing_group(thingGroupName="tf-building", recursive=True)["things"] == ["tf-lamp-1"]
    configurations = client.describe_event_configurations()["eventConfigurations"]
    assert {kind for kind, configuration in configurations.items() if configuration["Enabled"]} == {"CERTIFICATE"}
    effective = client.get_effective_policies(principal=certificates[0], thingName="tf-lamp-1")
    assert [policy["policyName"] for policy in effective["effectivePolicies"]] == ["tf-publish"]


def assert_nothing_is_left_that_the_last_stage_does_not_name(client: IoT) -> None:
    """Assert that what the last stage leaves out of the documented examples is gone."""
    group = client.describe_thing_group(thingGroupName="example")["thingGroupProperties"]
    assert "thingGroupDescription" not in group
    assert group.get("attributePayload", {}).get("attributes", {}) == {}
    described = client.describe_thing_group(thingGroupName="described")["thingGroupProperties"]
    assert described == {"attributePayload": {"attributes": {"One": "11111"}}}
    thing = client.describe_thing(thingName="example")
    assert thing.get("attributes", {}) == {}
    assert "thingTypeName" not in thing
    template = client.describe_provisioning_template(templateName="FleetTemplate")
    assert json.loads(template["templateBody"])["Resources"]["certificate"]["Properties"]["Status"] == "Inactive"


def counts(live: Live) -> dict[str, int]:
    """Return how many rows the registry's tables have."""
    tables = tables_of(live.service.data_dir, live.database_url)
    return {name: len(tables[name]) for name in STORED}
