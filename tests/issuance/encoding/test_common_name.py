"""The name by which a certificate is looked for, whatever its issuer has put there."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from thingmint.issuance.encoding.common_name import MAX_CHARACTERS, common_name_of, common_name_of_name
from thingmint.issuance.encoding.odd_names import odd_names_allowed

KEY = ec.generate_private_key(ec.SECP256R1())
AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def der_of(*names: x509.NameAttribute[str | bytes]) -> bytes:
    subject = x509.Name(names)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(AT).not_valid_after(AT + dt.timedelta(days=1))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def common_name(text: str) -> x509.NameAttribute[str | bytes]:
    # The library warns of names that are longer than RFC 5280 has them.
    with odd_names_allowed():
        return x509.NameAttribute(NameOID.COMMON_NAME, text, _validate=False)


def bits() -> x509.NameAttribute[str | bytes]:
    return x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\x01", _ASN1Type.BitString)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((common_name("sensor-17"), common_name("second")), "sensor-17"),
        ((common_name("温度センサー"),), "温度センサー"),
        ((common_name("a" * 300),), "a" * MAX_CHARACTERS),
        ((x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x"),), None),
        ((common_name("a\0b"),), None),
        ((common_name(""),), None),
        ((bits(),), None),
        ((), None),
    ],
    ids=["first", "unicode", "long", "none", "nul", "empty", "bits", "no name"],
)
def test_the_first_common_name_is_found(names: tuple[x509.NameAttribute[str | bytes], ...], found: str | None) -> None:
    assert common_name_of(der_of(*names)) == found


def test_a_common_name_that_is_a_bit_string_is_none() -> None:
    named = der_of(common_name("device"))
    assert common_name_of(named.replace(b"\x0c\x06device", b"\x03\x06device")) is None


def test_what_is_no_certificate_has_none() -> None:
    assert common_name_of(b"\x30\x00") is None


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ((x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x"), common_name("sensor-17"), common_name("2")), "sensor-17"),
        ((common_name("温度センサー"),), "温度センサー"),
        ((x509.NameAttribute(NameOID.COMMON_NAME, "Zähler 温", _ASN1Type.BMPString),), "Zähler 温"),
        ((x509.NameAttribute(NameOID.COMMON_NAME, "a 1", _ASN1Type.PrintableString),), "a 1"),
        ((x509.NameAttribute(NameOID.ORGANIZATION_NAME, "x"),), None),
    ],
    ids=["first", "UTF8String", "BMPString", "PrintableString", "none"],
)
def test_the_same_common_name_is_found_in_a_name(
    names: tuple[x509.NameAttribute[str | bytes], ...], found: str | None
) -> None:
    assert common_name_of_name(x509.Name(names).public_bytes()) == common_name_of(der_of(*names)) == found
