"""Terraform with AWS's provider, where a machine has both: certificates created, planned again, destroyed."""

import json
from pathlib import Path

import pytest
from cryptography import x509
from tests.support.certificates.signing_requests import DEVICE, csr_pem, key_of
from tests.support.clients.aws import IoT, Live
from tests.support.clients.terraform import Terraform, ready_terraform

CONFIGURATION = """
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


@pytest.fixture
def terraform(live_on_sqlite: Live, tmp_path: Path) -> Terraform:
    """Terraform, ready to apply."""
    (tmp_path / "device.csr").write_text(csr_pem("p-256"))
    return ready_terraform(live_on_sqlite, tmp_path, CONFIGURATION)


def test_apply_plan_again_and_destroy(terraform: Terraform, live_on_sqlite: Live) -> None:
    client: IoT = live_on_sqlite.client()
    terraform.apply()
    ids = [arn.rpartition("/")[2] for arn in certificate_arns(terraform)]

    terraform.assert_nothing_to_change()
    statuses = [client.describe_certificate(certificateId=i)["certificateDescription"]["status"] for i in ids]
    assert statuses == ["ACTIVE", "INACTIVE"]
    assert terraform.must("output", "-raw", "endpoint").partition(":")[0] == "localhost"
    assert terraform.must("output", "-raw", "private_key").startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    certificate = x509.load_pem_x509_certificate(terraform.must("output", "-raw", "certificate_pem").encode())
    assert (certificate.subject, certificate.public_key()) == (DEVICE, key_of("p-256").public_key())

    terraform.destroy()

    for certificate_id in ids:
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.describe_certificate(certificateId=certificate_id)
    client.close()


def certificate_arns(terraform: Terraform) -> list[str]:
    """Return the ARNs in the order of the output."""
    arns: list[str] = json.loads(terraform.must("output", "-json", "arns"))
    return arns
