"""What makes a user's certificate a CA's, what that CA signed, and that no bytes do anything but be refused."""

import contextlib
import itertools
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.certificates import der as asn1
from tests.support.certificates.signing_requests import key_of
from tests.support.certificates.user_ca import (
    CA_EXTENSION,
    Extension,
    UserCA,
    der_of,
    device_key,
    key_usage,
    new_ca,
    pem_of,
)
from tests.support.machine.soak import examples
from tests.support.registration.authority import NOW

from thingmint.core.errors import CertificateInvalid
from thingmint.issuance.foreign.certificate import ForeignCertificate, ensure_acceptable, load_foreign, load_foreign_pem
from thingmint.issuance.foreign.user_ca import carries_code, ensure_ca, ensure_issued_by, is_issued_by

CODE = "0123456789abcdef" * 4


@pytest.fixture(scope="module")
def ca() -> UserCA:
    return new_ca()


def loaded(certificate: x509.Certificate, what: str = "certificate") -> ForeignCertificate:
    return load_foreign(der_of(certificate), what)


@pytest.mark.parametrize(
    "extensions",
    [
        [CA_EXTENSION],
        [(x509.BasicConstraints(ca=True, path_length=0), False)],
        [CA_EXTENSION, (key_usage(key_cert_sign=True), True)],
        # As in the documentation of Terraform's aws_iot_ca_certificate.
        [CA_EXTENSION, (key_usage(digital_signature=True, key_encipherment=True), True)],
        [CA_EXTENSION, (key_usage(key_cert_sign=True, crl_sign=True, digital_signature=True), False)],
        [CA_EXTENSION, (x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")]), True)],
        [CA_EXTENSION, (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False)],
    ],
)
def test_a_certificate_that_may_sign_is_a_ca(extensions: list[Extension]) -> None:
    ensure_ca(loaded(new_ca(extensions=extensions).certificate))


@pytest.mark.parametrize(
    ("extensions", "reason"),
    [
        ([], "do not say CA:TRUE"),
        ([(x509.BasicConstraints(ca=False, path_length=None), True)], "do not say CA:TRUE"),
        ([(key_usage(key_cert_sign=True), True)], "do not say CA:TRUE"),
        (
            [CA_EXTENSION, (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)],
            "critical extension 1.2.3.4",
        ),
        (
            [CA_EXTENSION, (x509.NameConstraints([x509.DNSName("example.com")], None), True)],
            "critical extension 2.5.29.30",
        ),
    ],
)
def test_a_certificate_that_may_not_sign_is_none(extensions: list[Extension], reason: str) -> None:
    with pytest.raises(CertificateInvalid, match=reason):
        ensure_ca(loaded(new_ca(extensions=extensions).certificate))


def test_a_ca_has_a_name() -> None:
    with pytest.raises(CertificateInvalid, match="has no subject"):
        ensure_ca(loaded(new_ca(None).certificate))


def test_extensions_that_cannot_be_read_are_refused(ca: UserCA) -> None:
    # The BOOLEAN of the basic constraints becomes an INTEGER.
    der = der_of(ca.certificate).replace(b"\x30\x03\x01\x01\xff", b"\x30\x03\x02\x01\x7f")
    with pytest.raises(CertificateInvalid, match="cannot be read"):
        ensure_ca(load_foreign(der, "CA certificate"))


def test_odd_names_in_extensions_decide_nothing() -> None:
    odd = x509.Name(
        [x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "DE"), x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")]
    )
    certificate = new_ca(extensions=[CA_EXTENSION, (x509.IssuerAlternativeName([x509.DirectoryName(odd)]), False)])
    # The library warns of countries whose code has not two letters, and warnings are errors in tests.
    der = der_of(certificate.certificate).replace(b"\x13\x02DE", b"\x0c\x02\xc3\xa9")
    ensure_ca(load_foreign(der, "CA certificate"))


@pytest.mark.parametrize("kind", ["rsa-2048", "p-256", "p-384", "p-521"])
def test_what_a_ca_signed_is_issued_by_it(kind: str) -> None:
    key = key_of(kind)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    ca = new_ca(key=key)
    ensure_issued_by(loaded(ca.issue()), loaded(ca.certificate))


def test_a_ca_with_a_dsa_key_issues_too() -> None:
    ca = new_ca(key=dsa.generate_private_key(2048))
    assert is_issued_by(loaded(ca.issue()), loaded(ca.certificate))


def test_neither_another_name_nor_another_key_issued_it(ca: UserCA) -> None:
    same_name, same_key = new_ca(), new_ca("Other CA", key=ca.key)
    for other in (same_name, same_key):
        assert not is_issued_by(loaded(ca.issue()), loaded(other.certificate))
        with pytest.raises(CertificateInvalid, match="The certificate is not signed by the CA certificate"):
            ensure_issued_by(loaded(ca.issue()), loaded(other.certificate, "CA certificate"))


def test_a_flipped_bit_of_the_signature_is_noticed(ca: UserCA) -> None:
    der = bytearray(der_of(ca.issue()))
    der[-1] ^= 1
    assert not is_issued_by(load_foreign(bytes(der), "certificate"), loaded(ca.certificate))


def test_a_verification_certificate_carries_the_code_as_its_only_common_name(ca: UserCA) -> None:
    assert carries_code(loaded(ca.issue(CODE)), CODE)
    assert not carries_code(loaded(ca.issue(CODE.upper())), CODE)
    assert not carries_code(loaded(ca.issue("somebody")), CODE)


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x14, 0x16])
def test_the_code_may_be_in_any_string_of_octets(ca: UserCA, tag: int) -> None:
    utf8, other = asn1.tlv(0x0C, CODE.encode()), asn1.tlv(tag, CODE.encode())
    der = der_of(ca.issue(CODE))
    assert utf8 in der
    assert carries_code(load_foreign(der.replace(utf8, other), "certificate"), CODE)


def test_a_second_common_name_hides_no_code(ca: UserCA) -> None:
    common_name = x509.NameOID.COMMON_NAME
    both = x509.Name([x509.NameAttribute(common_name, CODE), x509.NameAttribute(common_name, "somebody")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(both)
        .issuer_name(ca.certificate.subject)
        .public_key(device_key().public_key())
        .serial_number(9)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=1))
    )
    assert not carries_code(loaded(builder.sign(ca.key, hashes.SHA256())), CODE)


SAMPLES = {
    "ca": der_of(new_ca(extensions=[CA_EXTENSION, (key_usage(key_cert_sign=True), True)]).certificate),
    "leaf": der_of(new_ca().issue(CODE)),
    "rsa": der_of(new_ca(key=key_of("rsa-2048")).issue(CODE, pss=True)),  # type: ignore[arg-type]  # this kind is RSA
}


def examine(der: bytes) -> None:
    """Do everything that is ever done with bytes of users."""
    issuer = load_foreign(SAMPLES["ca"], "CA certificate")
    certificate = load_foreign(der, "certificate")
    steps = (
        lambda: ensure_acceptable(certificate, NOW),
        lambda: ensure_ca(certificate),
        lambda: ensure_issued_by(certificate, issuer),
        lambda: ensure_issued_by(issuer, certificate),
        lambda: carries_code(certificate, CODE),
    )
    for step in steps:
        with contextlib.suppress(CertificateInvalid):
            step()


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """Draw a certificate with some octets changed, cut, repeated or inserted."""
    der = bytearray(SAMPLES[draw(st.sampled_from(sorted(SAMPLES)))])
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(der) - 1)))
        match draw(st.integers(0, 4)):
            case 0:
                der[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                der[place : place + 1] = bytes([der[place] ^ (1 << draw(st.integers(0, 7)))] if der else [])
            case 2:
                del der[place : place + draw(st.integers(1, 8))]
            case 3:
                der[place:place] = draw(st.binary(min_size=1, max_size=8))
            case _:
                der[place:place] = der[place : place + draw(st.integers(1, 40))]
    return bytes(der)


def examine_or_refuse(der: bytes) -> None:
    with contextlib.suppress(CertificateInvalid):
        examine(der)


@given(mutations())
@settings(max_examples=examples(40, 400))
def test_damaged_certificates_are_refused_and_break_nothing(der: bytes) -> None:
    examine_or_refuse(der)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_and_break_nothing(der: bytes) -> None:
    with pytest.raises(CertificateInvalid):
        load_foreign(der, "certificate")


def test_every_single_octet_of_a_certificate_may_be_anything_odd() -> None:
    der = SAMPLES["ca"]
    for place, octet in itertools.product(range(len(der)), (0x00, 0x7F, 0x80, 0xFF)):
        examine_or_refuse(der[:place] + bytes([octet]) + der[place + 1 :])


@given(st.text(alphabet=st.characters(), max_size=20), st.integers(0, 600))
def test_damaged_pem_is_refused_and_breaks_nothing(inserted: str, place: int) -> None:
    pem = pem_of(x509.load_der_x509_certificate(SAMPLES["leaf"]))
    with contextlib.suppress(CertificateInvalid):
        load_foreign_pem(pem[:place] + inserted + pem[place:], "certificate")
