"""The set of issuers has one that issues, and keeps those that have issued; each is known by its certificate."""

import hashlib
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.issuance.conftest import Authorities
from tests.support.certificates.profiles import default_profile
from tests.support.certificates.signers import at_once
from tests.support.registration.authority import issuers_of

from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, IssuingCA
from thingmint.issuance.authorities.trust_anchor import create_issuing_ca
from thingmint.issuance.issuer import Issuer
from thingmint.issuance.profiles.profile import ProfileConfig, certificate_profile
from thingmint.signers.file_key import FileKeySigner

SERIAL = SerialNumber((1 << 158) + 5)


@pytest.fixture(scope="module")
def active(authorities: Authorities) -> IssuingCA:
    return IssuingCA(authorities.issuing.certificate, FileKeySigner(authorities.issuing.private_key))


@pytest.fixture(scope="module")
def retired(authorities: Authorities, now: datetime) -> IssuingCA:
    key = ec.generate_private_key(ec.SECP256R1())
    return IssuingCA(create_issuing_ca(authorities.root, key.public_key(), SERIAL, now), FileKeySigner(key))


def test_the_active_issuer_issues_with_both_profiles_and_the_retired_ones_are_kept(
    active: IssuingCA, retired: IssuingCA, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    keyless = IssuingCA(create_again(active, now), None)
    issuers = issuers_of(active, retired, keyless)
    assert list(issuers) == [active, retired, keyless]
    lifetimes = []
    for issuer in (issuers.active, issuers.active_for_claims):
        der = at_once(issuer.issue(issuer.prepare(ec_key.public_key(), SERIAL, now)))
        certificate = x509.load_der_x509_certificate(der)
        assert active.has_signed(certificate)
        assert not retired.has_signed(certificate)
        lifetimes.append(certificate.not_valid_after_utc - certificate.not_valid_before_utc)
    assert lifetimes[1] < timedelta(hours=1) < lifetimes[0]


def create_again(ca: IssuingCA, now: datetime) -> x509.Certificate:
    """Return another certificate for the same key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        x509.CertificateBuilder(
            ca.certificate.subject, ca.certificate.subject, ca.certificate.public_key(), SERIAL, now, ca.not_after
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(ca.certificate.extensions.get_extension_for_class(x509.KeyUsage).value, critical=True)
        .add_extension(x509.SubjectKeyIdentifier(ca.key_identifier), critical=False)
        .sign(key, hashes.SHA256())
    )


def test_an_issuer_is_known_by_the_digest_of_its_certificate_not_of_its_key(active: IssuingCA, now: datetime) -> None:
    der = active.certificate.public_bytes(serialization.Encoding.DER)
    assert active.issuer_id == hashlib.sha256(der).hexdigest()
    again = IssuingCA(create_again(active, now), active.signer)
    assert again.certificate.public_key() == active.certificate.public_key()
    assert again.issuer_id != active.issuer_id
    assert list(issuers_of(active, again)) == [active, again]


def test_an_issuer_is_in_the_set_once(active: IssuingCA, retired: IssuingCA) -> None:
    for others in ((active,), (retired, retired)):
        with pytest.raises(IssuerUnfit, match="twice"):
            issuers_of(active, *others)


def test_an_issuer_without_its_key_cannot_be_the_active_one(active: IssuingCA, retired: IssuingCA) -> None:
    keyless = IssuingCA(active.certificate, None)
    with pytest.raises(IssuerUnfit, match="private key is missing"):
        issuers_of(keyless, retired)
    with pytest.raises(IssuerUnfit, match="private key is missing"):
        Issuer(keyless, default_profile())


def test_another_set_takes_the_place_of_the_first_while_it_is_in_use(
    active: IssuingCA, retired: IssuingCA, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    issuers = issuers_of(active)
    taken = issuers.active
    prepared = taken.prepare(ec_key.public_key(), SERIAL, now)
    issuers.use(retired, (active,), certificate_profile(ProfileConfig(validity_days=30)))
    assert list(issuers) == [retired, active]
    for issuer in (issuers.active, issuers.active_for_claims):
        der = at_once(issuer.issue(issuer.prepare(ec_key.public_key(), SERIAL, now)))
        assert retired.has_signed(x509.load_der_x509_certificate(der))
    # What was begun with the first one is finished with it.
    assert active.has_signed(x509.load_der_x509_certificate(at_once(taken.issue(prepared))))
    before = issuers.active
    unfit: tuple[tuple[IssuingCA, tuple[IssuingCA, ...]], ...] = (
        (IssuingCA(active.certificate, None), ()),
        (active, (active,)),
    )
    for ca, others in unfit:
        with pytest.raises(IssuerUnfit):
            issuers.use(ca, others, certificate_profile(ProfileConfig()))
        assert issuers.active is before
        assert list(issuers) == [retired, active]


def test_what_is_no_certificate_of_the_issuer_is_not_taken_for_one(active: IssuingCA, authorities: Authorities) -> None:
    assert not active.has_signed(authorities.service.certificate)
    assert not active.has_signed(active.certificate)
    assert IssuingCA(authorities.root.certificate, None).has_signed(active.certificate)
