"""What an issuer issues, field by field, with OpenSSL and pkilint as judges; and what it refuses to sign."""

import hashlib
import io
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from pkilint import loader, report
from pkilint.pkix import certificate as pkix_certificate
from pkilint.pkix import extension as pkix_extension
from pkilint.pkix import name as pkix_name
from pkilint.validation import ValidationFindingSeverity
from tests.support.certificates.profiles import default_profile
from tests.support.certificates.signers import at_once, issuer_of
from tests.support.machine.required import required_program

from thingmint.core.errors import IssuanceImpossible, ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, IssuingCA
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority, create_issuing_ca, create_root_ca
from thingmint.issuance.csr import load_csr
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.issuance.issuer import (
    Issuer,
    IssuerEnded,
    IssuerNotValid,
    KeyUsageUnfit,
    PreparedCertificateRefused,
    ValidityExhausted,
)
from thingmint.issuance.keys.key_pairs import KeyPair, PublicKey, load_public_key
from thingmint.issuance.profiles.lint import LintFailed
from thingmint.issuance.profiles.profile import ProfileConfig, certificate_profile
from thingmint.signers.file_key import FileKeySigner

SERIAL = SerialNumber((1 << 158) + 5)
RequestFor = Callable[..., str]


class Authorities(Protocol):
    """What the fixture `authorities` holds."""

    root: CertificateAuthority
    issuing: CertificateAuthority
    service: CertificateAuthority


def issued(
    issuer: Issuer, public_key: PublicKey, at: datetime, subject_der: bytes | None = None
) -> tuple[bytes, x509.Certificate]:
    der = at_once(issuer.issue(issuer.prepare(public_key, SERIAL, at, subject_der)))
    return der, x509.load_der_x509_certificate(der)


def pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="session")
def from_key_pair(issuer: Issuer, key_pair: KeyPair, now: datetime) -> bytes:
    return issued(issuer, load_public_key(key_pair.public_key_der), now)[0]


@pytest.fixture(scope="session")
def from_request(issuer: Issuer, ec_key: ec.EllipticCurvePrivateKey, request_for: RequestFor, now: datetime) -> bytes:
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Zähler 17"),
        ]
    )
    request = load_csr(request_for(ec_key, subject))
    return issued(issuer, request.public_key, now, request.subject_der)[0]


def openssl(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([required_program("openssl"), *arguments], capture_output=True, text=True, check=False)


# What AWS IoT's certificates contain, field by field.


def test_version_serial_signature_and_validity_are_those_of_aws(from_key_pair: bytes) -> None:
    certificate = x509.load_der_x509_certificate(from_key_pair)
    assert certificate.version is x509.Version.v3
    assert certificate.serial_number == SERIAL
    assert certificate.not_valid_before_utc == datetime(2026, 3, 4, 5, 4, 7, tzinfo=UTC)
    assert certificate.not_valid_after_utc == datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert b"\x17\x0d260304050407Z\x17\x0d491231235959Z" in from_key_pair


def test_the_subject_is_one_common_name_in_utf8(from_key_pair: bytes) -> None:
    certificate = x509.load_der_x509_certificate(from_key_pair)
    assert certificate.subject.public_bytes() == (
        b"\x30\x1e\x31\x1c\x30\x1a\x06\x03\x55\x04\x03\x0c\x13AWS IoT Certificate"
    )


def test_extensions_are_aws_iots_four_in_their_order(from_key_pair: bytes, authorities: Authorities) -> None:
    certificate = x509.load_der_x509_certificate(from_key_pair)
    point = authorities.issuing.certificate.public_key().public_bytes(  # the BIT STRING's content on a curve
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    numbers = certificate.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    assert [(extension.oid, extension.critical, extension.value) for extension in certificate.extensions] == [
        (
            ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
            False,
            x509.AuthorityKeyIdentifier(hashlib.sha1(point).digest(), None, None),
        ),
        (
            ExtensionOID.SUBJECT_KEY_IDENTIFIER,
            False,
            x509.SubjectKeyIdentifier(hashlib.sha1(numbers).digest()),
        ),
        (ExtensionOID.BASIC_CONSTRAINTS, True, x509.BasicConstraints(ca=False, path_length=None)),
        (ExtensionOID.KEY_USAGE, True, x509.KeyUsage(True, *[False] * 8)),
    ]


def test_openssls_text_shows_the_fields_of_aws(from_key_pair: bytes, tmp_path: Path) -> None:
    path = tmp_path / "c.pem"
    path.write_text(certificate_pem(from_key_pair))
    lines = [line.strip() for line in openssl("x509", "-in", path, "-noout", "-text").stdout.splitlines()]
    for line in (
        "Version: 3 (0x2)",
        "Signature Algorithm: ecdsa-with-SHA256",
        "Not Before: Mar  4 05:04:07 2026 GMT",
        "Not After : Dec 31 23:59:59 2049 GMT",
        "Subject: CN = AWS IoT Certificate",
        "Public-Key: (2048 bit)",
        "Exponent: 65537 (0x10001)",
        "CA:FALSE",
        "Digital Signature",
    ):
        assert line in lines
    assert [line for line in lines if line.startswith("X509v3")] == [
        "X509v3 extensions:",
        "X509v3 Authority Key Identifier:",
        "X509v3 Subject Key Identifier:",
        "X509v3 Basic Constraints: critical",
        "X509v3 Key Usage: critical",
    ]


def test_the_subject_of_a_request_is_copied_unchanged(
    issuer: Issuer, ec_key: ec.EllipticCurvePrivateKey, request_for: RequestFor, from_request: bytes
) -> None:
    certificate = x509.load_der_x509_certificate(from_request)
    assert certificate.subject.rfc4514_string() == "CN=Zähler 17,O=Acme,C=DE"
    assert certificate.public_key() == ec_key.public_key()


def test_extensions_of_a_request_are_not_copied(
    issuer: Issuer, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(ec_key, hashes.SHA256())
    )
    request = load_csr(csr.public_bytes(serialization.Encoding.PEM).decode())
    _, certificate = issued(issuer, request.public_key, now, request.subject_der)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.subject == default_profile().subject


# The judges.


@pytest.mark.parametrize("kind", ["from_key_pair", "from_request"])
def test_openssl_verifies_the_chain_for_clients_and_refuses_it_for_servers(
    kind: str, authorities: Authorities, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    root, issuing, device = tmp_path / "root.pem", tmp_path / "issuing.pem", tmp_path / "device.pem"
    root.write_text(pem_of(authorities.root.certificate))
    issuing.write_text(pem_of(authorities.issuing.certificate))
    device.write_text(certificate_pem(request.getfixturevalue(kind)))
    at = str(int(datetime(2030, 1, 1, tzinfo=UTC).timestamp()))
    verify = ("verify", "-x509_strict", "-attime", at, "-CAfile", root, "-untrusted", issuing)
    accepted = openssl(*verify, "-purpose", "sslclient", device)
    assert accepted.stdout == f"{device}: OK\n", accepted.stderr
    refused = openssl(*verify, "-purpose", "sslserver", device)
    assert refused.returncode != 0
    assert "purpose" in refused.stderr
    # RFC 5280, 4.1.2.5 includes the last second; OpenSSL 3.0 does not.
    end = str(int(datetime(2049, 12, 31, 23, 59, 58, tzinfo=UTC).timestamp()))
    assert openssl("verify", "-attime", end, "-CAfile", root, "-untrusted", issuing, device).returncode == 0


def test_openssl_says_that_key_and_certificate_belong_together(
    key_pair: KeyPair, from_key_pair: bytes, tmp_path: Path
) -> None:
    key, device = tmp_path / "k.pem", tmp_path / "c.pem"
    key.write_bytes(key_pair.private_key_pem)
    device.write_text(certificate_pem(from_key_pair))
    of_certificate = openssl("x509", "-in", device, "-noout", "-pubkey").stdout
    assert "BEGIN PUBLIC KEY" in of_certificate
    assert openssl("rsa", "-in", key, "-pubout").stdout == of_certificate
    assert "RSA key ok" in openssl("rsa", "-in", key, "-check", "-noout").stdout


def pkilint_errors(der: bytes) -> list[str]:
    validator = pkix_certificate.create_pkix_certificate_validator_container(
        pkix_certificate.create_decoding_validators(
            pkix_name.ATTRIBUTE_TYPE_MAPPINGS, pkix_extension.EXTENSION_MAPPINGS
        ),
        [
            pkix_certificate.create_issuer_validator_container([]),
            pkix_certificate.create_validity_validator_container(),
            pkix_certificate.create_subject_validator_container([]),
            pkix_certificate.create_extensions_validator_container([]),
            pkix_certificate.create_spki_validator_container([]),
        ],
    )
    document = loader.RFC5280CertificateDocumentLoader().load_der_file(io.BytesIO(der), "certificate")
    results = validator.validate(document.root)
    assert report.get_findings_count(results) >= 0
    return [
        f"{finding.finding.code}: {finding.message}"
        for result in results
        for finding in result.finding_descriptions
        if finding.finding.severity <= ValidationFindingSeverity.WARNING
    ]


@pytest.mark.parametrize("kind", ["from_key_pair", "from_request"])
def test_pkilint_finds_no_error_in_issued_certificates(kind: str, request: pytest.FixtureRequest) -> None:
    assert pkilint_errors(request.getfixturevalue(kind)) == []


def test_pkilint_would_find_an_error(from_key_pair: bytes) -> None:
    not_critical = from_key_pair.replace(b"\x06\x03\x55\x1d\x13\x01\x01\xff", b"\x06\x03\x55\x1d\x0e\x01\x01\xff")
    assert not_critical != from_key_pair
    assert pkilint_errors(not_critical)


def test_pkilint_finds_no_error_in_the_authorities(authorities: Authorities) -> None:
    for authority in (authorities.root, authorities.issuing, authorities.service):
        assert pkilint_errors(authority.certificate.public_bytes(serialization.Encoding.DER)) == []


# Other issuers and profiles.


@pytest.mark.parametrize("signature_hash", ["sha256", "sha384", "sha512"])
def test_an_rsa_issuer_signs_what_verifies(
    signature_hash: str, rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    certificate = create_root_ca(rsa_key, SERIAL, now)
    profile = certificate_profile(ProfileConfig(signature_hash=signature_hash))
    _, device = issued(issuer_of(certificate, rsa_key, profile), ec_key.public_key(), now)
    assert device.signature_hash_algorithm is not None
    assert device.signature_hash_algorithm.name == signature_hash
    rsa_key.public_key().verify(
        device.signature, device.tbs_certificate_bytes, padding.PKCS1v15(), device.signature_hash_algorithm
    )


def test_an_issuer_on_p384_signs_what_verifies(ec_key: ec.EllipticCurvePrivateKey, now: datetime) -> None:
    private_key = ec.generate_private_key(ec.SECP384R1())
    certificate = create_root_ca(private_key, SERIAL, now)
    _, device = issued(issuer_of(certificate, private_key, default_profile()), ec_key.public_key(), now)
    device.verify_directly_issued_by(certificate)


def test_extended_key_usages_of_the_profile_come_last(
    authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    profile = certificate_profile(ProfileConfig(extended_key_usage=["clientAuth"], validity_days=30))
    issuer = issuer_of(authorities.issuing.certificate, authorities.issuing.private_key, profile)
    _, device = issued(issuer, ec_key.public_key(), now)
    last = list(device.extensions)[-1]
    assert last.value == x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    assert not last.critical
    assert device.not_valid_after_utc - device.not_valid_before_utc == timedelta(days=30) - timedelta(seconds=1)


def test_key_usages_that_do_not_exist_for_a_key_are_refused(
    authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey, rsa_key: rsa.RSAPrivateKey, now: datetime
) -> None:
    issuing = authorities.issuing

    def issuer_with(usage: str) -> Issuer:
        profile = certificate_profile(ProfileConfig(key_usage=["digitalSignature", usage]))
        return issuer_of(issuing.certificate, issuing.private_key, profile)

    encipherment, agreement = issuer_with("keyEncipherment"), issuer_with("keyAgreement")
    encipherment.prepare(rsa_key.public_key(), SERIAL, now)
    agreement.prepare(ec_key.public_key(), SERIAL, now)
    with pytest.raises(KeyUsageUnfit, match="keyEncipherment does not exist for ECDSA"):
        encipherment.prepare(ec_key.public_key(), SERIAL, now)
    with pytest.raises(KeyUsageUnfit, match="keyAgreement does not exist for RSA"):
        agreement.prepare(rsa_key.public_key(), SERIAL, now)


def test_an_issuer_is_known_by_the_hash_of_its_certificate(issuer: Issuer, authorities: Authorities) -> None:
    certificate = authorities.issuing.certificate
    assert issuer.ca.certificate == certificate
    assert issuer.ca.issuer_id == certificate.fingerprint(hashes.SHA256()).hex()
    assert issuer.ca.not_after == certificate.not_valid_after_utc


# What is refused.


def test_a_prepared_certificate_is_issued_once(
    issuer: Issuer, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    prepared = issuer.prepare(ec_key.public_key(), SERIAL, now)
    assert prepared.serial_number == SERIAL
    assert prepared.not_before == datetime(2026, 3, 4, 5, 4, 7, tzinfo=UTC)
    assert prepared.not_after == issuer.profile.not_after
    at_once(issuer.issue(prepared))
    with pytest.raises(PreparedCertificateRefused, match="issued before"):
        at_once(issuer.issue(prepared))


def test_a_prepared_certificate_is_issued_by_its_issuer_only(
    issuer: Issuer, authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    twin = issuer_of(authorities.issuing.certificate, authorities.issuing.private_key, default_profile())
    prepared = issuer.prepare(ec_key.public_key(), SERIAL, now)
    with pytest.raises(PreparedCertificateRefused, match="another issuer"):
        at_once(twin.issue(prepared))
    at_once(issuer.issue(prepared))


def test_what_is_signed_is_compared_with_what_was_linted(
    issuer: Issuer,
    from_key_pair: bytes,
    ec_key: ec.EllipticCurvePrivateKey,
    now: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared = issuer.prepare(ec_key.public_key(), SERIAL, now)
    monkeypatch.setattr("thingmint.issuance.issuer.signed_structure", lambda *_: from_key_pair)
    with pytest.raises(PreparedCertificateRefused, match="not what was linted"):
        at_once(issuer.issue(prepared))


def test_a_serial_number_that_breaks_a_rule_is_not_prepared(
    issuer: Issuer, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    with pytest.raises(LintFailed) as failure:
        issuer.prepare(ec_key.public_key(), SerialNumber(7), now)
    assert failure.value.failed == ("cabf_serial_64_bits",)


def test_an_empty_subject_is_not_prepared(issuer: Issuer, ec_key: ec.EllipticCurvePrivateKey, now: datetime) -> None:
    with pytest.raises(LintFailed) as failure:
        issuer.prepare(ec_key.public_key(), SERIAL, now, b"\x30\x00")
    assert failure.value.failed == ("rfc5280_subject_not_empty",)


def test_the_throw_away_signature_is_not_in_what_is_issued(
    issuer: Issuer, authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    _, device = issued(issuer, ec_key.public_key(), now)
    device.verify_directly_issued_by(authorities.issuing.certificate)


def test_a_clock_past_the_end_of_the_issuer_is_no_passing_fault(
    issuer: Issuer, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    with pytest.raises(IssuerEnded, match="ended at 2049-12-31T23:59:59Z") as refusal:
        issuer.prepare(ec_key.public_key(), SERIAL, datetime(2056, 1, 1, tzinfo=UTC))
    assert isinstance(refusal.value, IssuanceImpossible)


def test_a_certificate_that_would_outlive_its_issuer_is_not_prepared(
    authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    profile = certificate_profile(ProfileConfig(validity_days=365))
    issuer = issuer_of(authorities.issuing.certificate, authorities.issuing.private_key, profile)
    issuer.prepare(ec_key.public_key(), SERIAL, datetime(2048, 12, 31, tzinfo=UTC))
    with pytest.raises(ValidityExhausted, match="outlive its issuer"):
        issuer.prepare(ec_key.public_key(), SERIAL, datetime(2049, 6, 1, tzinfo=UTC))


def test_a_clock_before_the_authority_began_issues_nothing(issuer: Issuer, ec_key: ec.EllipticCurvePrivateKey) -> None:
    began = issuer.ca.not_before
    with pytest.raises(IssuerNotValid, match="clock is before") as refusal:
        issuer.prepare(ec_key.public_key(), SERIAL, began - timedelta(microseconds=1))
    assert isinstance(refusal.value, ServiceUnavailable)
    # The backdating of the profile does not count.
    _, device = issued(issuer, ec_key.public_key(), began)
    assert device.not_valid_before_utc < began


def test_what_an_operator_must_change_is_not_called_a_passing_fault(
    authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    key = authorities.issuing.private_key
    ended = issuer_of(
        authorities.issuing.certificate, key, certificate_profile(ProfileConfig(not_after="2030-01-01T00:00Z"))
    )
    long = issuer_of(authorities.issuing.certificate, key, certificate_profile(ProfileConfig(validity_days=365)))
    for issuer, at in ((ended, datetime(2030, 1, 1, tzinfo=UTC)), (long, datetime(2049, 6, 1, tzinfo=UTC))):
        with pytest.raises(IssuanceImpossible):
            issuer.prepare(ec_key.public_key(), SERIAL, at)


def test_a_certificate_that_would_outlive_its_issuer_ends_with_it_if_that_is_wanted(
    authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    signer = FileKeySigner(authorities.issuing.private_key)
    ca = IssuingCA(authorities.issuing.certificate, signer)
    days, fixed = ProfileConfig(validity_days=3650), ProfileConfig(not_after="2060-01-01T00:00:00Z")
    at = datetime(2048, 12, 31, tzinfo=UTC)
    for config in (days, fixed):
        issuer = Issuer(ca, certificate_profile(config), shortens=True)
        prepared = issuer.prepare(ec_key.public_key(), SERIAL, at)
        assert prepared.not_after == ca.not_after
        with pytest.raises(IssuanceImpossible, match="outlive its issuer"):
            Issuer(ca, certificate_profile(config)).prepare(ec_key.public_key(), SERIAL, at)
        # At its last second and after it, nothing can be issued that would be valid.
        for late, refusal in ((ca.not_after, IssuanceImpossible), (datetime(2055, 1, 1, tzinfo=UTC), IssuerEnded)):
            with pytest.raises(refusal):
                issuer.prepare(ec_key.public_key(), SERIAL, late)
    unaffected = Issuer(ca, certificate_profile(ProfileConfig(validity_days=30)), shortens=True)
    assert unaffected.prepare(ec_key.public_key(), SERIAL, at).not_after < ca.not_after


def test_another_authoritys_key_is_refused(authorities: Authorities) -> None:
    with pytest.raises(IssuerUnfit, match="does not belong"):
        issuer_of(authorities.issuing.certificate, authorities.root.private_key, default_profile())


def test_keys_that_no_issuer_may_have_are_refused(authorities: Authorities) -> None:
    with pytest.raises(IssuerUnfit, match="not 1024"):
        issuer_of(authorities.issuing.certificate, rsa.generate_private_key(65537, 1024), default_profile())
    with pytest.raises(IssuerUnfit, match="not on secp521r1"):
        issuer_of(authorities.issuing.certificate, ec.generate_private_key(ec.SECP521R1()), default_profile())


def test_a_certificate_that_is_no_cas_is_refused(
    issuer: Issuer, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    _, device = issued(issuer, ec_key.public_key(), now)
    with pytest.raises(IssuerUnfit, match="may not sign certificates"):
        issuer_of(device, ec_key, default_profile())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bare")])
    bare = x509.CertificateBuilder(name, name, ec_key.public_key(), SERIAL, now, now + timedelta(days=1)).sign(
        ec_key, hashes.SHA256()
    )
    with pytest.raises(IssuerUnfit, match="lacks an extension"):
        issuer_of(bare, ec_key, default_profile())


def test_an_issuers_repr_shows_no_key(issuer: Issuer, authorities: Authorities) -> None:
    assert "rivate" not in repr(issuer)
    assert "rivate" not in repr(authorities.issuing)


def test_a_subordinate_of_another_root_does_not_verify(authorities: Authorities, now: datetime) -> None:
    other_key = ec.generate_private_key(ec.SECP256R1())
    other = CertificateAuthority(create_root_ca(other_key, SERIAL, now), other_key)
    public_key = authorities.issuing.private_key.public_key()
    foreign = create_issuing_ca(other, public_key, SERIAL, now)
    with pytest.raises(ValueError, match="match"):
        foreign.verify_directly_issued_by(authorities.root.certificate)
