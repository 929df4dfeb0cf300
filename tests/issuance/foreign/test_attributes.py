"""What is read of a certificate's names."""

import ipaddress
from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtensionOID, NameOID
from tests.support.certificates.der import sequence, tlv

from thingmint.issuance.foreign.attributes import certificate_attributes

EMPTY = x509.Name([])
NAMES = {
    NameOID.DN_QUALIFIER: ("DistinguishedNameQualifier", "Bulb001"),
    NameOID.COUNTRY_NAME: ("Country", "US"),
    NameOID.ORGANIZATION_NAME: ("Organization", "IoT, Inc."),
    NameOID.ORGANIZATIONAL_UNIT_NAME: ("OrganizationalUnit", "SmartHome"),
    NameOID.STATE_OR_PROVINCE_NAME: ("State", "NY"),
    NameOID.COMMON_NAME: ("CommonName", "Lamp ÄÖ"),
    NameOID.SERIAL_NUMBER: ("SerialNumber", "123"),
    NameOID.TITLE: ("Title", "RGB"),
    NameOID.SURNAME: ("Surname", "Multi Color"),
    NameOID.GIVEN_NAME: ("GivenName", "Bulb"),
    NameOID.INITIALS: ("Initials", "ZZ"),
    NameOID.PSEUDONYM: ("Pseudonym", "RGB Device"),
    NameOID.GENERATION_QUALIFIER: ("GenerationQualifier", "4"),
}


def named(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


def certificate(
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    subject: x509.Name = EMPTY,
    issuer: x509.Name = EMPTY,
    extensions: tuple[x509.ExtensionType, ...] = (),
) -> bytes:
    builder = x509.CertificateBuilder(issuer, subject, key.public_key(), 0x921285CBB7A5E086, now, now)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_serial_number_is_read_as_a_decimal_number(ec_key: ec.EllipticCurvePrivateKey, now: datetime) -> None:
    assert certificate_attributes(certificate(ec_key, now)) == {"SerialNumber": ("10525622389124227206",)}


def test_attributes_of_subject_and_issuer_have_the_words_of_policies(
    ec_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    name = named(*((oid, value) for oid, (_, value) in NAMES.items()), (NameOID.LOCALITY_NAME, "Berlin"))
    found = certificate_attributes(certificate(ec_key, now, name, name))
    expected = {f"{whose}.{word}": (value,) for whose in ("Subject", "Issuer") for word, value in NAMES.values()}
    assert found == expected | {"SerialNumber": ("10525622389124227206",)}


def test_values_come_in_the_order_of_the_certificate(ec_key: ec.EllipticCurvePrivateKey, now: datetime) -> None:
    unit = NameOID.ORGANIZATIONAL_UNIT_NAME
    name = named((unit, "b"), (NameOID.COMMON_NAME, "x"), (unit, "a"), (unit, "b"))
    found = certificate_attributes(certificate(ec_key, now, name))
    assert found["Subject.OrganizationalUnit"] == ("b", "a", "b")


def test_alternative_names_are_read(ec_key: ec.EllipticCurvePrivateKey, now: datetime) -> None:
    directory = named(
        (NameOID.COUNTRY_NAME, "US"),
        (NameOID.ORGANIZATION_NAME, "IoT"),
        (NameOID.TITLE, "RGB"),
        (NameOID.COMMON_NAME, "LightBulbCert"),
    )
    names: list[x509.GeneralName] = [
        x509.DNSName("example.com"),
        x509.IPAddress(ipaddress.ip_address("1.2.3.4")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
        x509.UniformResourceIdentifier("ResourceIdentifier001"),
        x509.RFC822Name("device1@example.com"),
        x509.DirectoryName(directory),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
    ]
    both = (
        x509.SubjectAlternativeName(names),
        x509.IssuerAlternativeName(names[:1]),
        x509.BasicConstraints(False, None),
    )
    found = certificate_attributes(certificate(ec_key, now, extensions=both))
    assert found == {
        "SerialNumber": ("10525622389124227206",),
        "Subject.AlternativeName.DNSName": ("example.com",),
        "Subject.AlternativeName.IPAddress": ("1.2.3.4", "2001:db8::1"),
        "Subject.AlternativeName.UniformResourceIdentifier": ("ResourceIdentifier001",),
        "Subject.AlternativeName.RFC822Name": ("device1@example.com",),
        "Subject.AlternativeName.DirectoryName": ("cn=LightBulbCert,2.5.4.12=RGB,o=IoT,c=US",),
        "Issuer.AlternativeName.DNSName": ("example.com",),
    }


@pytest.mark.parametrize("encoded", [b"\x30\x82", sequence(tlv(0x82, b"\xff")), sequence(tlv(0x87, b"\x01\x02"))])
def test_extension_that_cannot_be_read_leaves_the_names(
    ec_key: ec.EllipticCurvePrivateKey, now: datetime, encoded: bytes
) -> None:
    broken = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, encoded)
    der = certificate(ec_key, now, named((NameOID.COMMON_NAME, "lamp")), extensions=(broken,))
    assert certificate_attributes(der)["Subject.CommonName"] == ("lamp",)


@pytest.mark.parametrize("value", [b"\x0c\x04\xff\xffcd", b"\x03\x04\0bcd"])
def test_name_that_cannot_be_read_leaves_the_rest(
    ec_key: ec.EllipticCurvePrivateKey, now: datetime, value: bytes
) -> None:
    der = certificate(ec_key, now, named((NameOID.COMMON_NAME, "abcd")), named((NameOID.COMMON_NAME, "root")))
    assert certificate_attributes(der.replace(b"\x0c\x04abcd", value)) == {
        "SerialNumber": ("10525622389124227206",),
        "Issuer.CommonName": ("root",),
    }


def test_attribute_that_is_no_text_is_left_out(ec_key: ec.EllipticCurvePrivateKey, now: datetime) -> None:
    identifier = x509.NameAttribute(NameOID.X500_UNIQUE_IDENTIFIER, b"\x01", _type=x509.name._ASN1Type.BitString)
    assert certificate_attributes(certificate(ec_key, now, x509.Name([identifier]))).keys() == {"SerialNumber"}


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"not a certificate"])
def test_what_is_no_certificate_has_no_names(der: bytes) -> None:
    assert certificate_attributes(der) == {}
