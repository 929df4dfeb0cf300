"""Certificates that somebody else issued: what is read of them, and what makes them unacceptable."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from tests.support.certificates import der as asn1
from tests.support.certificates.signing_requests import key_of
from tests.support.certificates.slow_keys import DIFFIE_HELLMAN, diffie_hellman_certificate
from tests.support.certificates.user_ca import CAKey, SignatureHash, UserCA, der_of, device_key, name_of, new_ca, pem_of
from tests.support.registration.authority import NOW

from thingmint.core.errors import CertificateInvalid
from thingmint.issuance.encoding.der import children, only_element
from thingmint.issuance.foreign.certificate import (
    ForeignCertificate,
    ensure_acceptable,
    ensure_accepted_signature,
    load_foreign,
    load_foreign_pem,
)


@pytest.fixture(scope="module")
def ca() -> UserCA:
    return new_ca()


def loaded(certificate: x509.Certificate) -> ForeignCertificate:
    return load_foreign(der_of(certificate), "certificate")


def test_a_certificate_is_read_as_it_is(ca: UserCA) -> None:
    issued = ca.issue("sensor")
    read = load_foreign_pem(pem_of(issued), "certificate")
    assert read.der == der_of(issued)
    assert read.certificate_id == issued.fingerprint(hashes.SHA256()).hex()
    assert read.serial_number == issued.serial_number
    assert read.subject == name_of("sensor").public_bytes()
    assert read.issuer_digest == hashlib.sha256(name_of("Factory CA").public_bytes()).hexdigest()
    assert read.issuer_digest == loaded(ca.certificate).subject_digest
    assert (read.not_before, read.not_after) == (issued.not_valid_before_utc, issued.not_valid_after_utc)


@pytest.mark.parametrize("junk", ["", "junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
def test_text_that_is_no_certificate_is_invalid(junk: str) -> None:
    with pytest.raises(CertificateInvalid):
        load_foreign_pem(junk, "certificate")


def with_tbs(certificate: x509.Certificate, *, serial: bytes | None = None, version: bytes | None = None) -> bytes:
    """Return the certificate with another serial number or version; its signature is wrong then."""
    der = certificate.tbs_certificate_bytes
    first, second, *rest = children(der, only_element(der))
    parts = [der[each.start : each.end] for each in (first, second, *rest)]
    if version is not None:
        parts[0] = version
    if serial is not None:
        parts[1] = serial
    return asn1.sequence(asn1.sequence(*parts), parts[2], asn1.bits(certificate.signature))


@pytest.mark.parametrize(
    "serial",
    [asn1.integer(0), asn1.integer(-1), asn1.integer(1 << 160), asn1.tlv(0x02, b"")],
    ids=["zero", "negative", "too long", "empty"],
)
def test_a_serial_number_is_positive_and_has_twenty_octets_at_most(ca: UserCA, serial: bytes) -> None:
    with pytest.raises(CertificateInvalid, match=r"not an X\.509 certificate of version 1 or 3"):
        load_foreign(with_tbs(ca.issue(), serial=serial), "certificate")


def test_the_longest_serial_number_is_read(ca: UserCA) -> None:
    longest = (1 << 159) - 1
    read = load_foreign(with_tbs(ca.issue(), serial=asn1.integer(longest)), "certificate")
    assert read.serial_number == longest


@pytest.mark.parametrize("version", [0, 1, 3, 200])
def test_versions_that_are_written_otherwise_are_invalid(ca: UserCA, version: int) -> None:
    with pytest.raises(CertificateInvalid, match="version 1 or 3"):
        load_foreign(with_tbs(ca.issue(), version=asn1.context(0, asn1.integer(version))), "certificate")


def version_1(certificate: x509.Certificate, *, with_extensions: bool) -> bytes:
    """Return the certificate without its version, which means version 1."""
    der = certificate.tbs_certificate_bytes
    _, *parts = [der[each.start : each.end] for each in children(der, only_element(der))]
    kept = parts if with_extensions else parts[:6]
    return asn1.sequence(asn1.sequence(*kept), parts[1], asn1.bits(certificate.signature))


def test_version_1_is_read_as_openssl_makes_it_without_extensions(ca: UserCA) -> None:
    read = load_foreign(version_1(ca.certificate, with_extensions=False), "certificate")
    assert read.parsed.version is x509.Version.v1
    assert read.subject == ca.certificate.subject.public_bytes()
    ensure_acceptable(read, NOW)


def test_version_1_has_no_extensions(ca: UserCA) -> None:
    with pytest.raises(CertificateInvalid, match="version 1 or 3"):
        load_foreign(version_1(ca.certificate, with_extensions=True), "certificate")


def test_both_signature_algorithms_must_be_the_same(ca: UserCA) -> None:
    der = der_of(ca.issue())
    ecdsa_sha256, ecdsa_sha384 = asn1.oid("1.2.840.10045.4.3.2"), asn1.oid("1.2.840.10045.4.3.3")
    assert der.count(ecdsa_sha256) == 2
    head, _, tail = der.rpartition(ecdsa_sha256)
    with pytest.raises(CertificateInvalid):
        load_foreign(head + ecdsa_sha384 + tail, "certificate")


@pytest.mark.parametrize(
    ("offset", "is_valid"),
    [
        (timedelta(0), True),
        (timedelta(days=-1, minutes=-5), True),
        (timedelta(days=-1, minutes=-5, seconds=-2), False),
        (timedelta(days=10, seconds=-1), True),
        (timedelta(days=10, seconds=1), False),
    ],
)
def test_a_certificate_is_acceptable_while_it_is_valid(ca: UserCA, offset: timedelta, *, is_valid: bool) -> None:
    certificate = loaded(ca.issue(at=NOW.replace(microsecond=0)))
    at = NOW.replace(microsecond=0) + offset
    if is_valid:
        ensure_acceptable(certificate, at)
    else:
        with pytest.raises(CertificateInvalid, match=r"is valid from \S+ to \S+, and not at "):
            ensure_acceptable(certificate, at)


def test_a_certificate_that_never_ends_is_acceptable(ca: UserCA) -> None:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of("sensor"))
        .issuer_name(ca.certificate.subject)
        .public_key(device_key().public_key())
        .serial_number(7)
        .not_valid_before(datetime(1950, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
    )
    ensure_acceptable(loaded(builder.sign(ca.key, hashes.SHA256())), NOW)


@pytest.mark.parametrize("kind", ["rsa-2048", "rsa-3072", "p-256", "p-384", "p-521"])
def test_keys_that_aws_accepts_are_acceptable(ca: UserCA, kind: str) -> None:
    key = key_of(kind)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    ensure_acceptable(loaded(ca.issue(key=key)), NOW)


@pytest.mark.parametrize("kind", ["rsa-1024", "p-224", "secp256k1", "ed25519"])
def test_other_keys_are_not(ca: UserCA, kind: str) -> None:
    certificate = loaded(ca.issue(key=key_of(kind)))  # type: ignore[arg-type]  # Ed25519 is what is refused
    with pytest.raises(CertificateInvalid, match="accepted are RSA keys of 2048 to 4096 bits"):
        ensure_acceptable(certificate, NOW)


def test_a_key_that_nothing_can_read_is_not(ca: UserCA) -> None:
    der = der_of(ca.issue())
    p256, brainpool = asn1.oid("1.2.840.10045.3.1.7"), asn1.oid("1.2.840.10045.3.9.7")
    assert p256 in der
    with pytest.raises(CertificateInvalid, match="cannot be read"):
        ensure_acceptable(load_foreign(der.replace(p256, brainpool), "certificate"), NOW)


@pytest.fixture(scope="module")
def dsa_key() -> dsa.DSAPrivateKey:
    return dsa.generate_private_key(2048)


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
@pytest.mark.parametrize(("kind", "pss"), [("rsa-2048", False), ("rsa-2048", True), ("p-256", False)])
def test_signatures_that_aws_accepts_are_accepted(kind: str, pss: bool, algorithm: SignatureHash) -> None:
    key = key_of(kind)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    ensure_accepted_signature(loaded(new_ca(key=key).issue(hash_=algorithm, pss=pss)))


def test_a_signature_by_dsa_is_accepted_with_one_hash_function(dsa_key: dsa.DSAPrivateKey) -> None:
    ca = new_ca(key=dsa_key)
    ensure_accepted_signature(loaded(ca.issue(hash_=hashes.SHA256())))
    with pytest.raises(CertificateInvalid, match="signature algorithm"):
        ensure_accepted_signature(loaded(ca.issue(hash_=hashes.SHA384())))


@pytest.mark.parametrize("kind", ["rsa-2048", "p-256"])
def test_weaker_and_other_hash_functions_are_refused(kind: str) -> None:
    key: CAKey = key_of(kind)  # type: ignore[assignment]  # these kinds are CAs' keys
    for algorithm in (hashes.SHA224(), hashes.SHA3_256()):
        with pytest.raises(CertificateInvalid, match="signature algorithm"):
            ensure_accepted_signature(loaded(new_ca(key=key).issue(hash_=algorithm)))


def test_pss_with_a_weaker_hash_function_is_refused() -> None:
    key = key_of("rsa-2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    with pytest.raises(CertificateInvalid, match="signature algorithm"):
        ensure_accepted_signature(loaded(new_ca(key=key).issue(hash_=hashes.SHA224(), pss=True)))


def test_a_signature_without_a_hash_function_is_refused() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of("sensor"))
        .issuer_name(name_of("Edwards"))
        .public_key(device_key().public_key())
        .serial_number(7)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    with pytest.raises(CertificateInvalid, match="signature algorithm"):
        ensure_accepted_signature(loaded(builder.sign(key, None)))


def test_an_unknown_signature_algorithm_is_refused(ca: UserCA) -> None:
    unknown = asn1.oid("1.2.840.10045.4.3.9")
    der = der_of(ca.issue()).replace(asn1.oid("1.2.840.10045.4.3.2"), unknown)
    with pytest.raises(CertificateInvalid, match="signature algorithm"):
        ensure_accepted_signature(load_foreign(der, "certificate"))


def test_a_public_key_file_is_no_certificate() -> None:
    pem = (
        device_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(CertificateInvalid, match="not labelled CERTIFICATE"):
        load_foreign_pem(pem.decode(), "certificate")


def test_keys_whose_reading_takes_minutes_are_not_read() -> None:
    certificate = load_foreign(der_of(diffie_hellman_certificate()), "certificate")
    with pytest.raises(CertificateInvalid, match=f"is of the kind {DIFFIE_HELLMAN}"):
        ensure_acceptable(certificate, NOW)
