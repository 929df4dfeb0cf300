"""The examples in the documentation of AWS's provider for Terraform, and texts as users' own tools write them, live."""

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.support.certificates.signing_requests import csr_pem, key_of
from tests.support.certificates.user_ca import CA_EXTENSION, UserCA, key_usage, new_ca
from tests.support.clients.aws import IoT, Live
from tests.support.clients.terraform import ready_terraform, with_one_provider
from tests.support.databases.database import tables_of
from tests.support.services.service import running_service

# One example after the other, by the names of their pages. What another provider makes (hashicorp/tls) is in files, and
# the role of another service is its ARN. ``stage`` is what users change next: 1 as documented, 2 changed, 3 left out.
EXAMPLES = """
variable "stage" {
  type    = number
  default = 1
}

# aws_iot_certificate
resource "aws_iot_certificate" "csr" {
  csr    = file("device.csr")
  active = var.stage != 2
}

resource "aws_iot_certificate" "keys" {
  active = var.stage != 2
}

resource "aws_iot_certificate" "existing" {
  certificate_pem = file("existing.pem")
  active          = var.stage != 2
}

# aws_iot_ca_certificate, aws_iot_registration_code
data "aws_iot_registration_code" "example" {}

resource "aws_iot_ca_certificate" "example" {
  active                       = var.stage != 2
  ca_certificate_pem           = file("ca.pem")
  verification_certificate_pem = file("verification.pem")
  allow_auto_registration      = var.stage != 2
}

# aws_iot_policy, aws_iot_policy_attachment
resource "aws_iot_policy" "pubsub" {
  name = "PubSubToAnyTopic"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Action   = [var.stage == 1 ? "iot:*" : "iot:Connect"]
        Effect   = "Allow"
        Resource = "*"
      },
    ]
  })
}

data "aws_iam_policy_document" "pubsub" {
  statement {
    effect    = "Allow"
    actions   = var.stage == 1 ? ["iot:*"] : ["iot:Publish", "iot:Connect"]
    resources = ["*"]
  }
}

resource "aws_iot_policy" "document" {
  name   = "PubSubByDocument"
  policy = data.aws_iam_policy_document.pubsub.json
}

resource "aws_iot_policy_attachment" "att" {
  policy = aws_iot_policy.pubsub.name
  target = aws_iot_certificate.csr.arn
}

# aws_iot_thing, aws_iot_thing_type, aws_iot_thing_principal_attachment
resource "aws_iot_thing_type" "foo" {
  name = "my_iot_thing"
  tags = var.stage == 3 ? {} : { stage = tostring(var.stage) }
}

resource "aws_iot_thing_type" "full" {
  name = "my_iot_thing_in_full"
  properties {
    description           = "all that there is"
    searchable_attributes = ["wattage", "model"]
  }
}

resource "aws_iot_thing" "example" {
  name            = "example"
  thing_type_name = var.stage == 3 ? null : aws_iot_thing_type.foo.name
  attributes      = var.stage == 3 ? {} : { First = "examplevalue${var.stage}" }
}

resource "aws_iot_thing_principal_attachment" "att" {
  principal = aws_iot_certificate.keys.arn
  thing     = aws_iot_thing.example.name
}

# aws_iot_thing_group, aws_iot_thing_group_membership
resource "aws_iot_thing_group" "parent" {
  name = "parent"
}

resource "aws_iot_thing_group" "example" {
  name              = "example"
  parent_group_name = aws_iot_thing_group.parent.name

  dynamic "properties" {
    for_each = var.stage == 3 ? [] : [1]
    content {
      attribute_payload {
        attributes = {
          One = "11111"
          Two = "TwoTwo${var.stage}"
        }
      }
      description = "This is my thing group"
    }
  }

  tags = {
    terraform = "true"
  }
}

resource "aws_iot_thing_group" "described" {
  name = "described"
  properties {
    attribute_payload {
      attributes = { One = "11111" }
    }
    description = var.stage == 1 ? "This is my thing group" : null
  }
}

resource "aws_iot_thing_group_membership" "example" {
  thing_name             = aws_iot_thing.example.name
  thing_group_name       = aws_iot_thing_group.example.name
  override_dynamic_group = true
}

# The provider cannot import what the documented membership overrides, and would make it anew.
resource "aws_iot_thing_group_membership" "plain" {
  thing_name       = aws_iot_thing.example.name
  thing_group_name = aws_iot_thing_group.described.name
}

# aws_iot_billing_group
resource "aws_iot_billing_group" "example" {
  name = "example"
  properties {
    description = "This is my billing group ${var.stage}"
  }
  tags = {
    terraform = "true"
  }
}

# aws_iot_role_alias
resource "aws_iot_role_alias" "alias" {
  alias               = "Thermostat-dynamodb-access-role-alias"
  role_arn            = "arn:aws:iam::000000000000:role/dynamodb-access-role"
  credential_duration = var.stage == 2 ? 7200 : null
}

# aws_iot_provisioning_template
resource "aws_iot_policy" "device_policy" {
  name = "DevicePolicy"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "iot:Subscribe", Resource = "*" }]
  })
}

resource "aws_iot_provisioning_template" "fleet" {
  name                  = "FleetTemplate"
  description           = var.stage == 3 ? null : "My provisioning template ${var.stage}"
  provisioning_role_arn = "arn:aws:iam::000000000000:role/service-role/IoTProvisioningServiceRole"
  enabled               = var.stage != 2

  template_body = jsonencode({
    Parameters = {
      SerialNumber = { Type = "String" }
    }

    Resources = {
      certificate = {
        Properties = {
          CertificateId = { Ref = "AWS::IoT::Certificate::Id" }
          Status        = var.stage == 1 ? "Active" : "Inactive"
        }
        Type = "AWS::IoT::Certificate"
      }

      policy = {
        Properties = {
          PolicyName = aws_iot_policy.device_policy.name
        }
        Type = "AWS::IoT::Policy"
      }
    }
  })
}

# aws_iot_endpoint
data "aws_iot_endpoint" "example" {}
"""
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
"""What can be imported, and by which id."""

TEXTS = """
variable "active" {
  type    = bool
  default = false
}

resource "aws_iot_certificate" "text" {
  for_each        = toset(["trimmed", "crlf", "openssl", "bag"])
  certificate_pem = each.key == "trimmed" ? trimspace(file("plain.pem")) : file("${each.key}.pem")
  active          = var.active
}

resource "aws_iot_ca_certificate" "text" {
  for_each                = toset(["trimmed", "crlf", "openssl"])
  ca_certificate_pem      = each.key == "trimmed" ? trimspace(file("ca-plain.pem")) : file("ca-${each.key}.pem")
  certificate_mode        = "SNI_ONLY"
  active                  = var.active
  allow_auto_registration = var.active
}

resource "aws_iot_certificate" "of_ca" {
  certificate_pem = trimspace(file("of-ca.pem"))
  ca_pem          = trimspace(file("ca-plain.pem"))
  active          = var.active
  depends_on      = [aws_iot_ca_certificate.text]
}

resource "aws_iot_thing" "example" { name = "example" }

resource "aws_iot_thing_principal_attachment" "example" {
  principal = aws_iot_certificate.text["trimmed"].arn
  thing     = aws_iot_thing.example.name
}
"""
STORED = ("thing", "thing_type", "thing_group", "billing_group", "certificate", "ca_certificate", "policy")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Live]:
    """A service of its own, where types can be deleted without AWS's wait."""
    with running_service(tmp_path / "data", "--thing-type-deletable-after", "0") as service:
        yield Live(service, None)


def now() -> datetime:
    return datetime.now(UTC)


def documented_ca() -> UserCA:
    """Return the CA that hashicorp/tls makes for the example: its key usage is that of its allowed uses alone."""
    key = key_of("rsa-2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    usages = key_usage(digital_signature=True, key_encipherment=True)
    server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    return new_ca("example.com", key=key, extensions=[(usages, True), (server, False), CA_EXTENSION], at=now())


def nothing_is_left(live: Live) -> bool:
    tables = tables_of(live.service.data_dir, None)
    return not any(len(tables[name]) for name in STORED)


def test_documented_examples_are_applied_changed_imported_and_destroyed(registry: Live, tmp_path: Path) -> None:
    ca, client = documented_ca(), registry.client()
    code = client.get_registration_code()["registrationCode"]
    (tmp_path / "device.csr").write_text(csr_pem("p-256"))
    (tmp_path / "existing.pem").write_text(new_ca("another", at=now()).issue_pem(at=now()))
    (tmp_path / "ca.pem").write_text(ca.pem)
    (tmp_path / "verification.pem").write_text(ca.issue_pem(code, at=now()))
    terraform = with_one_provider(ready_terraform(registry, tmp_path, EXAMPLES), registry)

    for stage in ("stage=1", "stage=2", "stage=3"):
        terraform.apply(stage)
        terraform.assert_nothing_to_change(stage)
    assert changed_as_asked(client)

    terraform.must("state rm", *IMPORTED)
    blocks = (f'import {{\n  to = {to}\n  id = "{name}"\n}}\n' for to, name in IMPORTED.items())
    (tmp_path / "imports.tf").write_text("".join(blocks))
    imported = terraform.apply("stage=3")
    assert f"{len(IMPORTED)} imported, 0 added, 0 changed, 0 destroyed" in imported
    (tmp_path / "imports.tf").unlink()
    terraform.assert_nothing_to_change("stage=3")

    terraform.destroy("stage=3")
    assert nothing_is_left(registry)
    client.close()


def changed_as_asked(client: IoT) -> bool:
    """Return whether the last stage left nothing behind that it does not name."""
    group = client.describe_thing_group(thingGroupName="example")["thingGroupProperties"]
    described = client.describe_thing_group(thingGroupName="described")["thingGroupProperties"]
    thing = client.describe_thing(thingName="example")
    template = client.describe_provisioning_template(templateName="FleetTemplate")
    return (
        "thingGroupDescription" not in group
        and group.get("attributePayload", {}).get("attributes", {}) == {}
        and described == {"attributePayload": {"attributes": {"One": "11111"}}}
        and thing.get("attributes", {}) == {}
        and "thingTypeName" not in thing
        and json.loads(template["templateBody"])["Resources"]["certificate"]["Properties"]["Status"] == "Inactive"
    )


def written_by_openssl(pem: str) -> str:
    """Return the certificate as ``openssl x509 -text`` prints it."""
    command = ["openssl", "x509", "-text"]
    return subprocess.run(command, input=pem, capture_output=True, text=True, check=True).stdout


def test_texts_of_users_own_tools_leave_the_plan_empty(registry: Live, tmp_path: Path) -> None:
    issuer = new_ca("another", at=now())
    spellings: dict[str, Callable[[str], str]] = {
        "plain": str,
        "crlf": lambda pem: pem.replace("\n", "\r\n"),
        "openssl": written_by_openssl,
        "bag": lambda pem: f"Bag Attributes\n    localKeyID: 01 02\nsubject=CN = device\nissuer=CN = another\n{pem}",
    }
    cas = {}
    for name, spell in spellings.items():
        cas[name] = new_ca(f"CA {name}", at=now())
        (tmp_path / f"{name}.pem").write_bytes(spell(issuer.issue_pem(at=now())).encode())
        (tmp_path / f"ca-{name}.pem").write_bytes(spell(cas[name].pem).encode())
    (tmp_path / "of-ca.pem").write_text(cas["plain"].issue_pem(at=now()))
    terraform = with_one_provider(ready_terraform(registry, tmp_path, TEXTS), registry)

    # A certificate is registered with a CA that is active.
    for active in ("active=true", "active=false"):
        terraform.apply(active)
        terraform.assert_nothing_to_change(active)

    terraform.destroy("active=false")
    assert nothing_is_left(registry)
