"""A CA of one's own, step by step as AWS's developer guide has it: OpenSSL and the AWS CLI in a shell."""

from pathlib import Path

import pytest
from tests.clients.test_aws_cli import Shell, shell_of
from tests.support.clients.aws import Live
from tests.support.machine.required import required_program

CONFIGURATION = """
[ req ]
distinguished_name = req_distinguished_name
x509_extensions = v3_ca
prompt = no

[ req_distinguished_name ]
organizationName = Beispielwerk
commonName = Beispielwerk Root CA

[ v3_ca ]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always,issuer
basicConstraints = critical, CA:true
keyUsage = keyCertSign, cRLSign
"""

REGISTER_CA = """
openssl genrsa -out rootCA.key 2048
openssl req -x509 -new -nodes -key rootCA.key -sha256 -days 1024 -config rootCA.cnf -extensions v3_ca -out rootCA.pem
code=$(aws iot get-registration-code --query registrationCode --output text)
openssl genrsa -out verification.key 2048
openssl req -new -key verification.key -subj "/CN=$code" -out verification.csr
openssl x509 -req -in verification.csr -CA rootCA.pem -CAkey rootCA.key -CAcreateserial -days 500 -sha256 \
  -out verification.pem
ca=$(aws iot register-ca-certificate --ca-certificate file://rootCA.pem --verification-cert file://verification.pem \
  --set-as-active --query certificateId --output text)
aws iot describe-ca-certificate --certificate-id "$ca" --query certificateDescription.certificateMode --output text
"""

REGISTER_DEVICE = """
openssl genrsa -out device.key 2048
openssl req -new -key device.key -subj "/CN=pump 7" -out device.csr
openssl x509 -req -in device.csr -CA rootCA.pem -CAkey rootCA.key -CAcreateserial -days 500 -sha256 -out device.pem
id=$(aws iot register-certificate --certificate-pem file://device.pem --ca-certificate-pem file://rootCA.pem \
  --status ACTIVE --query certificateId --output text)
test "$id" = "$(openssl x509 -in device.pem -outform DER | openssl dgst -sha256 -r | cut -d ' ' -f 1)"
aws iot list-certificates-by-ca --ca-certificate-id "$ca" --query "certificates[].[certificateId == '$id', status]" \
  --output text
"""

REMOVE = """
aws iot delete-ca-certificate --certificate-id "$ca" || echo refused
aws iot update-ca-certificate --certificate-id "$ca" --new-status INACTIVE
aws iot delete-ca-certificate --certificate-id "$ca"
aws iot describe-certificate --certificate-id "$id" --query certificateDescription.status --output text
"""

WITHOUT_A_CA = """
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout self.key -subj "/CN=self" -days 30 \
  -sha256 -text -out self.pem
head -n 1 self.pem
id=$(aws iot register-certificate-without-ca --certificate-pem file://self.pem --query certificateId --output text)
aws iot describe-certificate --certificate-id "$id" --query certificateDescription.certificateMode --output text
openssl req -x509 -newkey rsa:2048 -nodes -keyout weak.key -subj "/CN=weak" -days 30 -sha1 -out weak.pem
aws iot register-certificate-without-ca --certificate-pem file://weak.pem || echo refused
"""


@pytest.fixture
def shell(live: Live, tmp_path: Path) -> Shell:
    """A shell for the service on each storage, with a configuration for OpenSSL."""
    required_program("openssl")
    (tmp_path / "rootCA.cnf").write_text(CONFIGURATION)
    return shell_of(live, tmp_path)


def test_a_ca_and_its_device_are_registered_as_the_guide_says(shell: Shell) -> None:
    finished = shell.run(REGISTER_CA + REGISTER_DEVICE + REMOVE)

    assert finished.stdout.split() == ["DEFAULT", "True", "ACTIVE", "refused", "ACTIVE"]
    assert "(CertificateStateException) when calling the DeleteCACertificate operation" in finished.stderr


def test_a_self_signed_certificate_is_registered_without_a_ca(shell: Shell) -> None:
    finished = shell.run(WITHOUT_A_CA)

    assert finished.stdout.split() == ["Certificate:", "SNI_ONLY", "refused"]
    assert "(CertificateValidationException)" in finished.stderr
