"""pkilint, the linter of a public certificate authority, judges certificates and the chain above them."""

import base64
from typing import Any

import pytest
from pkilint import loader, validation
from pkilint.pkix import certificate, extension, name
from tests.support.certificates.signing_requests import csr_pem, csr_pem_with_extensions
from tests.support.clients.aws import IoT, Live

SERIOUS = (validation.ValidationFindingSeverity.FATAL, validation.ValidationFindingSeverity.ERROR)


@pytest.fixture(scope="module")
def linter() -> Any:
    """pkilint's rules of RFC 5280."""
    return certificate.create_pkix_certificate_validator_container(
        certificate.create_decoding_validators(name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS),
        [
            certificate.create_issuer_validator_container([]),
            certificate.create_validity_validator_container(),
            certificate.create_subject_validator_container([]),
            certificate.create_extensions_validator_container([]),
            certificate.create_spki_validator_container([]),
        ],
    )


def errors_in(linter: Any, der: bytes) -> list[str]:
    """Return the codes of pkilint's errors."""
    document = loader.RFC5280CertificateDocumentLoader().load_der_document(der)
    return [
        finding.finding.code
        for result in linter.validate(document.root)
        for finding in result.finding_descriptions
        if finding.finding.severity in SERIOUS
    ]


def der_of(pem: str) -> bytes:
    return base64.b64decode("".join(line for line in pem.splitlines() if not line.startswith("-----")))


def test_certificates_with_new_keys_have_no_error(linter: Any, identities: tuple[dict[str, Any], ...]) -> None:
    for created in identities:
        assert errors_in(linter, der_of(created["certificatePem"])) == []


@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-3072", "p-256", "p-384", "p-521"])
def test_certificates_from_signing_requests_have_no_error(linter: Any, iot: IoT, kind: str) -> None:
    for signing_request in (csr_pem(kind), csr_pem_with_extensions(kind)):
        created = iot.create_certificate_from_csr(certificateSigningRequest=signing_request)

        assert errors_in(linter, der_of(created["certificatePem"])) == []


def test_the_authorities_certificates_have_no_error(linter: Any, live: Live) -> None:
    for file in (live.ca_file, live.device_ca_file):
        for block in file.read_text().split("-----END CERTIFICATE-----\n")[:-1]:
            assert errors_in(linter, der_of(block)) == []


def test_the_linter_finds_an_error_where_there_is_one(linter: Any, identities: tuple[dict[str, Any], ...]) -> None:
    der = der_of(identities[0]["certificatePem"])
    # 2.5.29.19, basicConstraints, becomes 2.5.29.14, a second subjectKeyIdentifier with another's syntax.
    broken = der.replace(bytes.fromhex("0603551d13"), bytes.fromhex("0603551d0e"))

    assert broken != der
    assert errors_in(linter, broken)
