"""The service's own certificates: what they say, whom they bind, and when a server needs another."""

import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tests.support.machine.required import required_program

from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.trust_anchor import (
    CertificateAuthority,
    KeyMismatch,
    ServerNameRefused,
    certificate_authority,
    create_root_ca,
    create_rsa_service_ca,
    create_server_certificate,
    create_service_ca,
    server_certificate_is_due,
)
from thingmint.issuance.keys.private_keys import PrivateKeyError

SERIAL = SerialNumber((1 << 158) + 9)
NAMES = ("localhost", "127.0.0.1", "::1", "things.example.org")
END_OF_2049 = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)


class Authorities(Protocol):
    """What the fixture `authorities` holds."""

    root: CertificateAuthority
    issuing: CertificateAuthority
    service: CertificateAuthority


@pytest.fixture(scope="session")
def server(authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    return create_server_certificate(authorities.service, ec_key.public_key(), NAMES, SERIAL, now)


def common_name(certificate: x509.Certificate) -> str:
    [attribute] = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(attribute.value)


def extended_key_usage(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


@pytest.mark.parametrize(
    ("authority", "name", "path_length"),
    [
        ("root", "Thingmint Root CA ", 1),
        ("issuing", "Thingmint Issuing CA ", 0),
        ("service", "Thingmint Service CA ", 0),
    ],
)
def test_an_authority_is_named_after_its_key_and_may_sign_certificates(
    authority: str, name: str, path_length: int, authorities: Authorities, now: datetime
) -> None:
    certificate: x509.Certificate = getattr(authorities, authority).certificate
    extensions = certificate.extensions
    digest = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert common_name(certificate) == name + digest[:4].hex()
    constraints = extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=path_length)
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert (usage.value.key_cert_sign, usage.value.crl_sign, usage.value.digital_signature) == (True, True, False)
    assert certificate.not_valid_after_utc == END_OF_2049
    assert certificate.not_valid_before_utc == now.replace(microsecond=0) - timedelta(days=1)
    certificate.verify_directly_issued_by(authorities.root.certificate)


def test_what_an_authority_may_be_used_for_is_written_in_it(authorities: Authorities) -> None:
    assert extended_key_usage(authorities.issuing.certificate) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert extended_key_usage(authorities.service.certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]
    with pytest.raises(x509.ExtensionNotFound):
        extended_key_usage(authorities.root.certificate)


def test_a_root_that_is_made_late_lives_for_twenty_years(ec_key: ec.EllipticCurvePrivateKey) -> None:
    late = datetime(2040, 1, 1, tzinfo=UTC)
    assert create_root_ca(ec_key, SERIAL, late).not_valid_after_utc == late + timedelta(days=20 * 365)


def test_an_rsa_root_signs_authorities(rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    root = certificate_authority(create_root_ca(rsa_key, SERIAL, at), rsa_key)
    create_service_ca(root, ec_key.public_key(), SERIAL, at).verify_directly_issued_by(root.certificate)


def test_an_rsa_service_authority_is_an_anchor_for_servers_alone(
    rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    certificate = create_rsa_service_ca(rsa_key, SERIAL, now)
    certificate.verify_directly_issued_by(certificate)
    assert common_name(certificate).startswith("Thingmint RSA Service CA ")
    assert extended_key_usage(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    authority = CertificateAuthority(certificate, rsa_key)
    for public_key in (rsa_key.public_key(), ec_key.public_key()):
        server = create_server_certificate(authority, public_key, NAMES, SERIAL, now)
        server.verify_directly_issued_by(certificate)


def test_a_server_certificate_has_names_purpose_and_397_days(server: x509.Certificate, now: datetime) -> None:
    extensions = server.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "things.example.org"]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("127.0.0.1"), ip_address("::1")]
    assert common_name(server) == "localhost"
    assert extended_key_usage(server) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert server.not_valid_before_utc == now.replace(microsecond=0) - timedelta(hours=1)
    assert server.not_valid_after_utc - server.not_valid_before_utc == timedelta(days=397) - timedelta(seconds=1)


def test_a_server_certificate_ends_with_its_authority(
    authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    at = datetime(2049, 11, 1, tzinfo=UTC)
    late = create_server_certificate(authorities.service, ec_key.public_key(), NAMES, SERIAL, at)
    assert late.not_valid_after_utc == END_OF_2049


@pytest.mark.parametrize("days", [0, 1, 4000])
def test_a_server_certificate_after_the_end_of_its_authority_has_ended(
    authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey, days: int
) -> None:
    at = END_OF_2049 + timedelta(days=days)
    late = create_server_certificate(authorities.service, ec_key.public_key(), NAMES, SERIAL, at)
    assert late.not_valid_after_utc == END_OF_2049
    assert late.not_valid_before_utc == END_OF_2049 - timedelta(hours=1)
    # A clock that is set right makes it due at once.
    assert server_certificate_is_due(late, authorities.service.certificate, NAMES, at - timedelta(days=4001))


def test_a_name_too_long_for_a_common_name_is_an_alternative_name_only(
    authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    name = f"{'x' * 60}.example.org"
    server = create_server_certificate(authorities.service, ec_key.public_key(), [name], SERIAL, now)
    assert common_name(server) == "Thingmint server"


def test_openssl_accepts_the_server_for_its_names_and_not_as_a_client(
    server: x509.Certificate, authorities: Authorities, tmp_path: Path
) -> None:
    paths = [tmp_path / name for name in ("root.pem", "service.pem", "server.pem")]
    certificates = (authorities.root.certificate, authorities.service.certificate, server)
    for path, certificate in zip(paths, certificates, strict=True):
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def verify(*arguments: str) -> int:
        at = str(int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()))
        root, service, device = map(str, paths)
        command = [required_program("openssl"), "verify", "-x509_strict", "-attime", at, "-CAfile", root]
        return subprocess.run(
            [*command, "-untrusted", service, *arguments, device], capture_output=True, check=False
        ).returncode

    assert verify("-purpose", "sslserver", "-verify_hostname", "things.example.org") == 0
    assert verify("-purpose", "sslserver", "-verify_ip", "127.0.0.1") == 0
    assert verify("-purpose", "sslserver", "-verify_hostname", "other.example.org") != 0
    assert verify("-purpose", "sslclient") != 0


@pytest.mark.parametrize("names", [[], [""], ["a b"], ["zähler.example.org"], ["localhost", "a\0b"]])
def test_names_that_no_server_has_are_refused(
    names: list[str], authorities: Authorities, ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    with pytest.raises(ServerNameRefused):
        create_server_certificate(authorities.service, ec_key.public_key(), names, SERIAL, now)


@pytest.mark.parametrize(
    ("after", "is_due"),
    [
        (timedelta(0), False),
        (timedelta(days=264), False),
        (timedelta(days=265), True),
        (timedelta(days=500), True),
        (timedelta(hours=-2), True),
    ],
)
def test_a_server_certificate_is_due_in_its_last_third_or_before_its_time(
    after: timedelta, is_due: bool, server: x509.Certificate, authorities: Authorities, now: datetime
) -> None:
    service = authorities.service.certificate
    assert server_certificate_is_due(server, service, NAMES, now + after) is is_due


def test_a_server_certificate_is_due_when_names_or_authority_change(
    server: x509.Certificate, authorities: Authorities, now: datetime
) -> None:
    assert server_certificate_is_due(server, authorities.service.certificate, NAMES[:-1], now)
    assert server_certificate_is_due(server, authorities.issuing.certificate, NAMES, now)
    service = authorities.service
    same_name = create_service_ca(authorities.root, service.private_key.public_key(), SERIAL, now)
    assert not server_certificate_is_due(server, same_name, NAMES, now)


def test_a_repeated_name_is_no_other_name(server: x509.Certificate, authorities: Authorities, now: datetime) -> None:
    assert not server_certificate_is_due(server, authorities.service.certificate, [*NAMES, NAMES[0]], now)


def test_certificate_and_key_must_belong_together(authorities: Authorities) -> None:
    root, issuing = authorities.root, authorities.issuing
    assert certificate_authority(root.certificate, root.private_key) == root
    with pytest.raises(KeyMismatch, match="does not belong to the certificate of CN=Thingmint Root CA") as failure:
        certificate_authority(root.certificate, issuing.private_key)
    assert isinstance(failure.value, PrivateKeyError)
