"""Certificates that are assembled from constant parts are byte for byte what `cryptography` encodes."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from thingmint.issuance.encoding.der import children, only_element
from thingmint.issuance.profiles.certificate_form import CertificateForm

KEY = ec.generate_private_key(ec.SECP256R1())
SPKI = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
OTHER_KEYS = (ec.generate_private_key(ec.SECP384R1()).public_key(), rsa.generate_private_key(65537, 2048).public_key())
MOMENTS = st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone


def certificate(
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    serial_number: int,
    period: tuple[datetime, datetime],
    common_name: str,
    extended: bool = False,
) -> x509.Certificate:
    """Return a certificate as `cryptography` builds it."""
    builder = (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Issuer")]))
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]))
        .public_key(public_key)
        .serial_number(serial_number)
        .not_valid_before(period[0])
        .not_valid_after(period[1])
        .add_extension(x509.AuthorityKeyIdentifier(bytes(20), None, None), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    )
    if extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return builder.sign(KEY, hashes.SHA256())


def der_of(built: x509.Certificate) -> bytes:
    """Return the encoding."""
    return built.public_bytes(serialization.Encoding.DER)


def signature_of(der: bytes) -> bytes:
    """Return the encoding of the signature."""
    signature = children(der, only_element(der))[2]
    return der[signature.start : signature.end]


@given(
    public_key=st.sampled_from(OTHER_KEYS),
    serial_number=st.integers(1, (1 << 159) - 1),
    period=st.tuples(MOMENTS, MOMENTS).map(
        lambda pair: (min(pair).replace(microsecond=0), max(pair).replace(microsecond=0))
    ),
    common_name=st.text(st.characters(categories=("L", "N")), min_size=1, max_size=16),
    extended=st.booleans(),
)
def test_assembled_certificate_is_what_cryptography_encodes(
    public_key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    serial_number: int,
    period: tuple[datetime, datetime],
    common_name: str,
    extended: bool,
) -> None:
    sample = certificate(
        KEY.public_key(), 1, (datetime(2020, 1, 1, tzinfo=UTC), datetime(2060, 1, 1, tzinfo=UTC)), "S", extended
    )
    built = certificate(public_key, serial_number, period, common_name, extended)
    assembled = CertificateForm(sample).assemble(
        serial_number,
        *period,
        built.subject.public_bytes(),
        public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    )
    assert x509.load_der_x509_certificate(assembled).tbs_certificate_bytes == built.tbs_certificate_bytes
    assert (
        assembled.removesuffix(signature_of(assembled))[4:]
        == der_of(built).removesuffix(signature_of(der_of(built)))[4:]
    )
    # The constant in the place of the signature is the sample's, which is of no use to anybody.
    assert signature_of(assembled) == signature_of(der_of(sample))


@pytest.mark.parametrize(("year", "tag"), [(1950, 0x17), (2049, 0x17), (2050, 0x18), (9999, 0x18)])
def test_years_from_2050_on_are_in_the_long_form(year: int, tag: int) -> None:
    moment = datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    sample = certificate(KEY.public_key(), 1, (moment, moment), "S")
    der = CertificateForm(sample).assemble(1, moment, moment, b"\x30\x00", SPKI)
    validity = children(der, children(der, only_element(der))[0])[4]
    assert [element.tag for element in children(der, validity)] == [tag, tag]
