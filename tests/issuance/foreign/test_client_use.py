"""What RFC 5280 forbids a TLS client to use, and which CA's certificates are not for clients."""

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from tests.support.certificates.user_ca import CA_EXTENSION, Extension, UserCA, der_of, key_usage, new_ca

from thingmint.core.errors import CertificateInvalid
from thingmint.issuance.foreign.certificate import ForeignCertificate, load_foreign
from thingmint.issuance.foreign.client_use import ensure_ca_of_clients, ensure_usable_by_client

UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
CONSTRAINTS = x509.NameConstraints([x509.DNSName("example.com")], None)


def leaf(ca: UserCA, *extensions: Extension) -> ForeignCertificate:
    return load_foreign(der_of(ca.issue(extensions=extensions)), "certificate")


@pytest.fixture(scope="module")
def ca() -> UserCA:
    return new_ca()


@pytest.mark.parametrize(
    "extensions",
    [
        [],
        [(x509.BasicConstraints(ca=False, path_length=None), True)],
        [(key_usage(digital_signature=True), True), (x509.ExtendedKeyUsage([SERVER, CLIENT]), True)],
        [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False)],
        [(UNKNOWN, False)],
        [(x509.SubjectAlternativeName([x509.DNSName("device.example")]), True)],
    ],
)
def test_a_client_may_use_what_nothing_forbids(ca: UserCA, extensions: list[Extension]) -> None:
    ensure_usable_by_client(leaf(ca, *extensions))


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        ((UNKNOWN, True), "critical extension 1.2.3.4"),
        ((x509.ExtendedKeyUsage([SERVER]), True), "lacks clientAuth"),
        ((x509.ExtendedKeyUsage([SERVER]), False), "lacks clientAuth"),
        ((key_usage(key_encipherment=True), True), "lacks digitalSignature"),
        ((key_usage(key_encipherment=True), False), "lacks digitalSignature"),
        (CA_EXTENSION, "CA:TRUE"),
        ((x509.BasicConstraints(ca=True, path_length=0), False), "CA:TRUE"),
        ((CONSTRAINTS, True), "critical extension 2.5.29.30"),
    ],
)
def test_a_client_must_not_use_what_is_for_others(ca: UserCA, extension: Extension, reason: str) -> None:
    with pytest.raises(CertificateInvalid, match=reason):
        ensure_usable_by_client(leaf(ca, extension))


@pytest.mark.parametrize(
    "extensions",
    [
        [],
        [(x509.ExtendedKeyUsage([CLIENT]), True)],
        [(key_usage(digital_signature=True), True)],
        [(UNKNOWN, False)],
    ],
)
def test_a_ca_of_clients(extensions: list[Extension]) -> None:
    ensure_ca_of_clients(load_foreign(der_of(new_ca(extensions=[CA_EXTENSION, *extensions]).certificate), "CA"))


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        ((x509.ExtendedKeyUsage([SERVER]), True), "lacks clientAuth"),
        ((x509.ExtendedKeyUsage([SERVER]), False), "lacks clientAuth"),
        ((CONSTRAINTS, False), "name constraints"),
        ((UNKNOWN, True), "critical extension 1.2.3.4"),
    ],
)
def test_a_ca_of_others(extension: Extension, reason: str) -> None:
    with pytest.raises(CertificateInvalid, match=reason):
        ensure_ca_of_clients(load_foreign(der_of(new_ca(extensions=[CA_EXTENSION, extension]).certificate), "CA"))
