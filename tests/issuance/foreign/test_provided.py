"""Certificates that a provider signed for a request: only that request's, and only good ones."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from tests.support.certificates.signing_requests import DEVICE, csr_pem
from tests.support.certificates.user_ca import provided_pem_for
from tests.support.registration.authority import NOW

from thingmint.core.errors import CertificateInvalid
from thingmint.issuance.csr import load_csr
from thingmint.issuance.foreign.provided import load_provided_pem

REQUEST = load_csr(csr_pem("p-256"))
EMPTY = x509.Name([])


@pytest.mark.parametrize("kind", ["p-256", "p-384", "rsa-2048"])
def test_a_certificate_for_the_request_is_accepted(kind: str) -> None:
    certificate = load_provided_pem(provided_pem_for(kind), load_csr(csr_pem(kind)), NOW)

    assert certificate.subject == DEVICE.public_bytes()


def test_a_request_without_a_subject_is_answered_without_one() -> None:
    request = load_csr(csr_pem("p-256", EMPTY))

    assert load_provided_pem(provided_pem_for("p-256", EMPTY), request, NOW).subject == EMPTY.public_bytes()
    with pytest.raises(CertificateInvalid, match="another subject"):
        load_provided_pem(provided_pem_for("p-256"), request, NOW)


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        ("no certificate", "PEM"),
        (provided_pem_for("p-384"), "another public key"),
        (provided_pem_for("p-256", EMPTY), "another subject"),
        (provided_pem_for("p-256", x509.Name(list(DEVICE)[:2])), "another subject"),
        (provided_pem_for("p-256", at=NOW - timedelta(days=30)), "valid from"),
        (provided_pem_for("p-256", at=NOW + timedelta(days=30)), "valid from"),
        (provided_pem_for("p-256", hash_=hashes.SHA224()), "signature algorithm"),
    ],
)
def test_other_certificates_are_refused(pem: str, reason: str) -> None:
    with pytest.raises(CertificateInvalid, match=reason):
        load_provided_pem(pem, REQUEST, NOW)
