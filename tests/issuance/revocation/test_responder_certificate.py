"""The certificate of an OCSP responder says what RFC 6960 asks for, and ends soon."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from tests.issuance.conftest import NOW, Authorities
from tests.support.certificates.signers import at_once, signing_process

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, IssuingCA
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority, create_issuing_ca, create_root_ca
from thingmint.issuance.revocation.responder_certificate import RESPONDER_LIFETIME, issue_responder_certificate
from thingmint.signers.file_key import FileKeySigner

SECOND = NOW.replace(microsecond=0)
NUMBER = SerialNumber(1 << 120)


@pytest.fixture
def ca(authorities: Authorities) -> IssuingCA:
    return IssuingCA(authorities.issuing.certificate, FileKeySigner(authorities.issuing.private_key))


def test_the_key_may_sign_responses_and_nothing_else(ca: IssuingCA, ec_key: ec.EllipticCurvePrivateKey) -> None:
    certificate = at_once(issue_responder_certificate(ca, ec_key.public_key(), NUMBER, NOW))

    extensions = certificate.extensions
    assert ca.has_signed(certificate)
    assert certificate.serial_number == NUMBER
    assert certificate.public_key() == ec_key.public_key()
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.OCSP_SIGNING]
    assert not extensions.get_extension_for_class(x509.OCSPNoCheck).critical
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not usage.value.key_cert_sign


def test_it_ends_after_two_days(ca: IssuingCA, ec_key: ec.EllipticCurvePrivateKey) -> None:
    certificate = at_once(issue_responder_certificate(ca, ec_key.public_key(), NUMBER, NOW))

    assert certificate.not_valid_after_utc == SECOND + RESPONDER_LIFETIME
    assert certificate.not_valid_before_utc == SECOND - timedelta(hours=1)


def test_it_ends_with_the_ca(ca: IssuingCA, ec_key: ec.EllipticCurvePrivateKey) -> None:
    near_the_end = ca.not_after - timedelta(hours=1)

    certificate = at_once(issue_responder_certificate(ca, ec_key.public_key(), NUMBER, near_the_end))

    assert certificate.not_valid_after_utc == ca.not_after


def test_a_ca_that_is_not_valid_certifies_none(ca: IssuingCA, ec_key: ec.EllipticCurvePrivateKey) -> None:
    for moment in (ca.not_before - timedelta(seconds=1), ca.not_after):
        with pytest.raises(IssuerUnfit, match="not valid now"):
            at_once(issue_responder_certificate(ca, ec_key.public_key(), NUMBER, moment))


def test_a_ca_without_its_key_certifies_none(ca: IssuingCA, ec_key: ec.EllipticCurvePrivateKey) -> None:
    with pytest.raises(IssuerUnfit, match="missing"):
        at_once(issue_responder_certificate(IssuingCA(ca.certificate, None), ec_key.public_key(), NUMBER, NOW))


async def test_a_signature_that_does_not_verify_is_refused(ec_key: ec.EllipticCurvePrivateKey) -> None:
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = CertificateAuthority(create_root_ca(root_key, SerialNumber(1 << 100), NOW), root_key)
    with signing_process() as signer:
        ca = IssuingCA(create_issuing_ca(root, signer.public_key, SerialNumber(1 << 101), NOW), signer)
        assert ca.has_signed(await issue_responder_certificate(ca, ec_key.public_key(), NUMBER, NOW))
        signer.sign_something_else()

        with pytest.raises(ServiceUnavailable, match="does not verify"):
            await issue_responder_certificate(ca, ec_key.public_key(), NUMBER, NOW)
