"""Terraform with AWS's provider, where a machine has both: a whole fleet's registry, changed and destroyed."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import new_ca
from tests.support.clients.aws import IoT, Live
from tests.support.clients.terraform import Terraform, ready_terraform, with_one_provider
from tests.support.databases.database import tables_of
from tests.support.databases.postgresql import new_database
from tests.support.services.service import running_service

REGISTRY = """
variable "colour" { default = "red" }
variable "topic" { default = "lamps" }

resource "aws_iot_thing_type" "lamp" {
  name = "tf-lamp"
  properties {
    description           = "gives light"
    searchable_attributes = ["colour"]
  }
  tags = { floor = "1" }
}

resource "aws_iot_thing" "lamp" {
  name            = "tf-lamp-1"
  thing_type_name = aws_iot_thing_type.lamp.name
  attributes      = { colour = var.colour }
}

resource "aws_iot_thing_type" "old" {
  name       = "tf-old"
  deprecated = true
}

resource "aws_iot_thing" "bare" { name = "tf-bare" }

resource "aws_iot_thing_group" "building" {
  name = "tf-building"
  properties {
    description = "all floors"
    attribute_payload { attributes = { colour = var.colour } }
  }
  tags = { floor = "all" }
}

resource "aws_iot_thing_group" "floor" {
  name              = "tf-floor"
  parent_group_name = aws_iot_thing_group.building.name
}

resource "aws_iot_thing_group_membership" "lamp" {
  thing_name             = aws_iot_thing.lamp.name
  thing_group_name       = aws_iot_thing_group.floor.name
  override_dynamic_group = true
}

resource "aws_iot_billing_group" "tenant" {
  name = "tf-tenant"
  properties { description = "paid by ${var.colour}" }
  tags = { tenant = "a" }
}

resource "aws_iot_certificate" "with_key" { active = true }

resource "aws_iot_certificate" "from_request" {
  active = true
  csr    = file("device.csr")
}

resource "aws_iot_policy" "publish" {
  name = "tf-publish"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["iot:Publish"]
      Resource = "arn:aws:iot:us-east-1:000000000000:topic/${var.topic}"
    }]
  })
  tags = { purpose = "test" }
}

resource "aws_iot_policy_attachment" "certificate" {
  for_each = { key = aws_iot_certificate.with_key.arn, csr = aws_iot_certificate.from_request.arn }
  policy   = aws_iot_policy.publish.name
  target   = each.value
}

resource "aws_iot_policy_attachment" "group" {
  policy = aws_iot_policy.publish.name
  target = aws_iot_thing_group.floor.arn
}

resource "aws_iot_thing_principal_attachment" "key" {
  principal = aws_iot_certificate.with_key.arn
  thing     = aws_iot_thing.lamp.name
}

resource "aws_iot_thing_principal_attachment" "csr" {
  principal = aws_iot_certificate.from_request.arn
  thing     = aws_iot_thing.lamp.name
}

resource "aws_iot_provisioning_template" "fleet" {
  name                  = "tf-fleet"
  description           = "for ${var.colour} lamps"
  enabled               = var.colour == "red"
  provisioning_role_arn = "arn:aws:iam::000000000000:role/provisioning"
  template_body = jsonencode({
    Parameters = { SerialNumber = { Type = "String" } }
    Resources = {
      certificate = {
        Type       = "AWS::IoT::Certificate"
        Properties = { CertificateId = { Ref = "AWS::IoT::Certificate::Id" }, Status = "Active" }
      }
      policy = { Type = "AWS::IoT::Policy", Properties = { PolicyName = aws_iot_policy.publish.name } }
    }
  })
  tags = { purpose = "test" }
}

resource "aws_iot_ca_certificate" "plant" {
  active                       = true
  allow_auto_registration      = true
  ca_certificate_pem           = file("ca.pem")
  verification_certificate_pem = file("verification.pem")
  certificate_mode             = "DEFAULT"
  tags                         = { plant = "north" }
}

resource "aws_iot_role_alias" "uploads" {
  alias               = "tf-uploads"
  role_arn            = "arn:aws:iam::000000000000:role/uploads"
  credential_duration = var.colour == "red" ? 3600 : 7200
  tags                = { purpose = "test" }
}

resource "aws_iot_event_configurations" "events" {
  event_configurations = {
    "THING"                  = var.colour == "red"
    "THING_GROUP"            = false
    "THING_TYPE"             = false
    "THING_GROUP_MEMBERSHIP" = false
    "THING_GROUP_HIERARCHY"  = false
    "THING_TYPE_ASSOCIATION" = false
    "JOB"                    = false
    "JOB_EXECUTION"          = false
    "POLICY"                 = false
    "CERTIFICATE"            = true
    "CA_CERTIFICATE"         = false
  }
}

output "certificates" { value = [aws_iot_certificate.with_key.arn, aws_iot_certificate.from_request.arn] }
"""

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
"""What the configuration fills."""

CHANGES = ("colour=blue", "topic=bulbs")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)])
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
def terraform(registry: Live, tmp_path: Path) -> Terraform:
    """Terraform, ready to apply, with a CA that proves its key."""
    ca, client = new_ca("Terraform CA", at=datetime.now(UTC)), registry.client()
    code = client.get_registration_code()["registrationCode"]
    client.close()
    (tmp_path / "device.csr").write_text(csr_pem("p-256"))
    (tmp_path / "ca.pem").write_text(ca.pem)
    (tmp_path / "verification.pem").write_text(ca.issue_pem(code, at=datetime.now(UTC)))
    return with_one_provider(ready_terraform(registry, tmp_path, REGISTRY), registry)


def test_a_registry_is_applied_changed_and_destroyed(terraform: Terraform, registry: Live) -> None:
    terraform.apply()
    terraform.assert_nothing_to_change()
    filled = counts(registry)
    assert {name: count for name, count in filled.items() if count == 0} == {}

    terraform.apply(*CHANGES)
    terraform.assert_nothing_to_change(*CHANGES)
    client: IoT = registry.client()
    assert client.describe_thing(thingName="tf-lamp-1")["attributes"] == {"colour": "blue"}
    policy = client.get_policy(policyName="tf-publish")
    assert (policy["defaultVersionId"], "topic/bulbs" in policy["policyDocument"]) == ("2", True)
    assert client.describe_billing_group(billingGroupName="tf-tenant")["version"] == 2
    assert (
        client.describe_role_alias(roleAlias="tf-uploads")["roleAliasDescription"]["credentialDurationSeconds"] == 7200
    )
    assert client.describe_provisioning_template(templateName="tf-fleet")["enabled"] is False
    assert client.list_things_in_thing_group(thingGroupName="tf-building", recursive=True)["things"] == ["tf-lamp-1"]
    assert enabled_events(client) == {"CERTIFICATE"}
    effective = client.get_effective_policies(principal=output(terraform, "certificates")[0], thingName="tf-lamp-1")
    assert [policy["policyName"] for policy in effective["effectivePolicies"]] == ["tf-publish"]
    client.close()

    terraform.destroy(*CHANGES)
    assert {name: count for name, count in counts(registry).items() if count > 0} == {}


def enabled_events(client: IoT) -> set[str]:
    """Return the kinds of events that are on."""
    configurations = client.describe_event_configurations()["eventConfigurations"]
    return {kind for kind, configuration in configurations.items() if configuration["Enabled"]}


def counts(live: Live) -> dict[str, int]:
    """Return how many rows the registry's tables have."""
    tables = tables_of(live.service.data_dir, live.database_url)
    return {name: len(tables[name]) for name in STORED}


def output(terraform: Terraform, name: str) -> Any:  # whatever the configuration puts out
    """Return an output of the configuration."""
    return json.loads(terraform.must("output", "-json", name))
