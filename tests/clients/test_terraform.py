"""Terraform with AWS's provider, where a machine has both: create, plan again without a change, destroy."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from tests.support.aws import IoT, Live
from tests.support.signing_requests import DEVICE, csr_pem, key_of

PROVIDER = Path("registry.terraform.io/hashicorp/aws")
USUAL_PLACES = (
    Path("/opt/tf-plugins"),
    Path("/usr/local/share/terraform/plugins"),
    Path("/usr/share/terraform/plugins"),
    Path("~/.terraform.d/plugins"),
)

CONFIGURATION = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }
variable "ca_file" { type = string }

provider "aws" {
  region                      = "us-east-1"
  custom_ca_bundle            = var.ca_file
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true
  max_retries                 = 1
  endpoints { iot = var.endpoint }
}

resource "aws_iot_certificate" "with_key" {
  active = true
}

resource "aws_iot_certificate" "from_request" {
  active = false
  csr    = file("device.csr")
}

data "aws_iot_endpoint" "devices" {
  endpoint_type = "iot:Data-ATS"
}

output "arns" { value = [aws_iot_certificate.with_key.arn, aws_iot_certificate.from_request.arn] }
output "endpoint" { value = data.aws_iot_endpoint.devices.endpoint_address }
output "certificate_pem" {
  value     = aws_iot_certificate.from_request.certificate_pem
  sensitive = true
}
output "private_key" {
  value     = aws_iot_certificate.with_key.private_key
  sensitive = true
}
"""


@dataclass(frozen=True)
class Terraform:
    """Terraform in a folder of its own."""

    program: str
    folder: Path
    environment: dict[str, str]

    def run(self, command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command without questions and colours."""
        return subprocess.run(
            [self.program, command, "-no-color", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def must(self, command: str, *arguments: str) -> str:
        """Return what a command prints that has to succeed."""
        finished = self.run(command, *arguments)
        assert finished.returncode == 0, finished.stdout + finished.stderr
        return finished.stdout


def find_plugins() -> Path | None:
    """Return the folder of providers that the machine has, if AWS's is in it."""
    named = os.environ.get("THINGMINT_TEST_TERRAFORM_PLUGINS")
    places = (Path(named),) if named else tuple(place.expanduser() for place in USUAL_PLACES)
    return next((place for place in places if (place / PROVIDER).is_dir()), None)


@pytest.fixture
def terraform(live_on_sqlite: Live, tmp_path: Path) -> Terraform:
    """Terraform, ready to apply. It cannot be had from a package index, so no machine has to have it."""
    program, plugins = shutil.which("terraform"), find_plugins()
    if program is None or plugins is None:
        pytest.skip("no Terraform with AWS's provider in a local mirror (THINGMINT_TEST_TERRAFORM_PLUGINS)")
    (tmp_path / "main.tf").write_text(CONFIGURATION)
    (tmp_path / "device.csr").write_text(csr_pem("p-256"))
    (tmp_path / "no.tfrc").touch()
    environment = live_on_sqlite.service.environment | {
        "TF_CLI_CONFIG_FILE": str(tmp_path / "no.tfrc"),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        "TF_VAR_endpoint": live_on_sqlite.service.endpoints.api,
        "TF_VAR_ca_file": str(live_on_sqlite.ca_file),
    }
    # What follows is for the provider block to say.
    for name in ("AWS_CA_BUNDLE", "AWS_ENDPOINT_URL_IOT", "AWS_REGION", "AWS_DEFAULT_REGION"):
        del environment[name]
    ready = Terraform(program, tmp_path, environment)
    ready.must("init", "-input=false", f"-plugin-dir={plugins}")
    return ready


def test_apply_plan_again_and_destroy(terraform: Terraform, live_on_sqlite: Live) -> None:
    client: IoT = live_on_sqlite.client()
    terraform.must("apply", "-input=false", "-auto-approve")
    ids = [arn.rpartition("/")[2] for arn in certificate_arns(terraform)]

    # Exit code 2 would mean that something is to be changed.
    plan = terraform.run("plan", "-input=false", "-detailed-exitcode")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    statuses = [client.describe_certificate(certificateId=i)["certificateDescription"]["status"] for i in ids]
    assert statuses == ["ACTIVE", "INACTIVE"]
    assert terraform.must("output", "-raw", "endpoint").partition(":")[0] == "localhost"
    assert terraform.must("output", "-raw", "private_key").startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    certificate = x509.load_pem_x509_certificate(terraform.must("output", "-raw", "certificate_pem").encode())
    assert (certificate.subject, certificate.public_key()) == (DEVICE, key_of("p-256").public_key())

    terraform.must("destroy", "-input=false", "-auto-approve")

    for certificate_id in ids:
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.describe_certificate(certificateId=certificate_id)
    client.close()


def certificate_arns(terraform: Terraform) -> list[str]:
    """Return the ARNs in the order of the output."""
    arns: list[str] = json.loads(terraform.must("output", "-json", "arns"))
    return arns
