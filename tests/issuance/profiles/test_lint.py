"""Each rule fires on a certificate that breaks it, and on a right certificate none does.

The broken certificates are written by hand, element by element: no honest encoder would write most of them.
"""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.certificates.der import bits, context, integer, oid, sequence, tlv
from tests.support.machine.soak import examples

from thingmint.issuance.profiles.known_extensions import KnownExtensions
from thingmint.issuance.profiles.lint import CONTENT_RULES, STRUCTURE_RULES, Expected, LintFailed, lint
from thingmint.issuance.profiles.public_addresses import PublicAddresses

PUBLIC_KEY = ec.derive_private_key(424242, ec.SECP256R1()).public_key()
SPKI = PUBLIC_KEY.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
POINT = PUBLIC_KEY.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
OTHER_SPKI = (
    ec.derive_private_key(434343, ec.SECP256R1())
    .public_key()
    .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
)
ISSUER_KEY_IDENTIFIER = bytes(range(20))
SERIAL = 1 << 150
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
FALSE, TRUE = b"", tlv(0x01, b"\xff")

ECDSA_SHA256 = sequence(oid("1.2.840.10045.4.3.2"))
ECDSA_SHA1 = sequence(oid("1.2.840.10045.4.1"))
BEGIN = tlv(UTC_TIME, b"260101000000Z")
END = tlv(UTC_TIME, b"491231235959Z")


def name(text: str) -> bytes:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]).public_bytes()


def extension(dotted: str, value: bytes, critical: bytes = FALSE) -> bytes:
    return sequence(oid(dotted), critical, tlv(0x04, value))


AKI = extension("2.5.29.35", sequence(tlv(0x80, ISSUER_KEY_IDENTIFIER)))
SKI = extension("2.5.29.14", tlv(0x04, hashlib.sha1(POINT).digest()))
NO_CA = extension("2.5.29.19", sequence(), TRUE)
USAGE = extension("2.5.29.15", tlv(0x03, b"\x07\x80"), TRUE)
EXTENSIONS = (AKI, SKI, NO_CA, USAGE)
REVOCATION_LIST = extension(
    "2.5.29.31", sequence(sequence(context(0, context(0, tlv(0x86, b"http://a.example/a.crl")))))
)

KEY_USAGE = x509.KeyUsage(True, *[False] * 8)
EXPECTED = Expected(
    issuer_der=name("issuer"),
    issuer_key_identifier=ISSUER_KEY_IDENTIFIER,
    issuer_not_after=datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
    serial_number=SERIAL,
    not_before=datetime(2026, 1, 1, tzinfo=UTC),
    not_after=datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC),
    subject_der=name("device"),
    public_key_der=SPKI,
    key_usage=KEY_USAGE,
    extended_key_usage=None,
    extension_order=(
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
    ),
)


def certificate(
    *,
    version: bytes = context(0, integer(2)),
    serial: int = SERIAL,
    inner: bytes = ECDSA_SHA256,
    outer: bytes = ECDSA_SHA256,
    issuer: bytes = EXPECTED.issuer_der,
    validity: bytes = BEGIN + END,
    subject: bytes = EXPECTED.subject_der,
    spki: bytes = SPKI,
    unique_identifier: bytes = b"",
    extensions: tuple[bytes, ...] | None = EXTENSIONS,
) -> bytes:
    tail = b"" if extensions is None else context(3, sequence(*extensions))
    tbs = sequence(version, integer(serial), inner, issuer, sequence(validity), subject, spki, unique_identifier, tail)
    return sequence(tbs, outer, bits(b"signature"))


def broken_rules(der: bytes, expected: Expected = EXPECTED) -> set[str]:
    with pytest.raises(LintFailed) as failure:
        lint(der, expected)
    assert str(failure.value) == f"the certificate breaks {', '.join(failure.value.failed)}"
    return set(failure.value.failed)


def with_extension(index: int, replacement: bytes) -> bytes:
    return certificate(extensions=(*EXTENSIONS[:index], replacement, *EXTENSIONS[index + 1 :]))


def test_a_right_certificate_passes() -> None:
    lint(certificate(), EXPECTED)


def test_what_is_no_certificate_fails() -> None:
    assert broken_rules(b"\x30\x00") == {"rfc5280_certificate_readable"}


BROKEN: dict[str, tuple[set[str], bytes]] = {
    "version 1": ({"rfc5280_version_3", "rfc5280_fields_of_version_3"}, certificate(version=b"", extensions=None)),
    "without extensions": ({"rfc5280_fields_of_version_3"}, certificate(extensions=None)),
    "unique identifier": (
        {"rfc5280_no_unique_identifiers", "rfc5280_fields_of_version_3"},
        certificate(unique_identifier=tlv(0x82, b"\0u")),
    ),
    "serial of 160 bits": (
        {"rfc5280_serial_positive_20_octets", "thingmint_serial_as_prepared"},
        certificate(serial=1 << 159),
    ),
    "short serial": ({"cabf_serial_64_bits", "thingmint_serial_as_prepared"}, certificate(serial=1 << 63)),
    "other serial": ({"thingmint_serial_as_prepared"}, certificate(serial=SERIAL + 1)),
    "algorithms differ": (
        {"rfc5280_signature_algorithms_agree"},
        certificate(inner=sequence(oid("1.2.840.10045.4.3.3"))),
    ),
    "SHA-1": ({"cabf_signature_algorithm_strong"}, certificate(inner=ECDSA_SHA1, outer=ECDSA_SHA1)),
    "other issuer": ({"rfc5280_issuer_equals_ca_subject"}, certificate(issuer=name("Issuer"))),
    "generalized time in 2026": (
        {"rfc5280_utctime_through_2049"},
        certificate(validity=tlv(GENERALIZED_TIME, b"20260101000000Z") + END),
    ),
    "no period": (
        {"rfc5280_validity_is_a_period", "thingmint_validity_as_prepared"},
        certificate(validity=END + END),
    ),
    "other beginning": (
        {"thingmint_validity_as_prepared"},
        certificate(validity=tlv(UTC_TIME, b"260101000001Z") + END),
    ),
    "longer than the issuer": (
        {"thingmint_validity_ends_with_issuer", "thingmint_validity_as_prepared"},
        certificate(validity=BEGIN + tlv(GENERALIZED_TIME, b"20500101000000Z")),
    ),
    "no subject": ({"rfc5280_subject_not_empty", "thingmint_subject_as_prepared"}, certificate(subject=sequence())),
    "other subject": ({"thingmint_subject_as_prepared"}, certificate(subject=name("devicE"))),
    "other key": (
        {"thingmint_public_key_as_prepared", "rfc5280_subject_key_identifier"},
        certificate(spki=OTHER_SPKI),
    ),
    "an extension twice": (
        {
            "rfc5280_extensions_unique",
            "thingmint_extensions_of_profile",
            "rfc5280_authority_key_identifier",
            "rfc5280_subject_key_identifier",
            "rfc5280_basic_constraints_no_ca",
            "rfc5280_key_usage_signs_no_certificates",
            "thingmint_key_usages_of_profile",
        },
        certificate(extensions=(*EXTENSIONS, SKI)),
    ),
    "another extension": (
        {"thingmint_extensions_of_profile"},
        certificate(extensions=(*EXTENSIONS, extension("1.2.3.4", b"\x05\x00"))),
    ),
    "another order": ({"thingmint_extensions_of_profile"}, certificate(extensions=(SKI, AKI, NO_CA, USAGE))),
    "other authority key": (
        {"rfc5280_authority_key_identifier"},
        with_extension(0, extension("2.5.29.35", sequence(tlv(0x80, bytes(20))))),
    ),
    "critical authority key": (
        {"rfc5280_authority_key_identifier"},
        with_extension(0, extension("2.5.29.35", sequence(tlv(0x80, ISSUER_KEY_IDENTIFIER)), TRUE)),
    ),
    "authority by name": (
        {"rfc5280_authority_key_identifier"},
        with_extension(
            0,
            extension(
                "2.5.29.35",
                sequence(
                    tlv(0x80, ISSUER_KEY_IDENTIFIER), context(1, context(4, EXPECTED.issuer_der)), tlv(0x82, b"\x01")
                ),
            ),
        ),
    ),
    "other subject key": (
        {"rfc5280_subject_key_identifier"},
        with_extension(1, extension("2.5.29.14", tlv(0x04, bytes(20)))),
    ),
    "a CA": (
        {"rfc5280_basic_constraints_no_ca"},
        with_extension(2, extension("2.5.29.19", sequence(TRUE), TRUE)),
    ),
    "basic constraints not critical": (
        {"rfc5280_basic_constraints_no_ca"},
        with_extension(2, extension("2.5.29.19", sequence())),
    ),
    "signs certificates": (
        {"rfc5280_key_usage_signs_no_certificates", "thingmint_key_usages_of_profile"},
        with_extension(3, extension("2.5.29.15", tlv(0x03, b"\x02\x84"), TRUE)),
    ),
    "other usage": (
        {"thingmint_key_usages_of_profile"},
        with_extension(3, extension("2.5.29.15", tlv(0x03, b"\x05\xa0"), TRUE)),
    ),
    "a revocation list": (
        {"thingmint_addresses_as_prepared", "thingmint_extensions_of_profile"},
        certificate(extensions=(*EXTENSIONS, REVOCATION_LIST)),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_certificate_breaks_exactly_these_rules(case: str) -> None:
    rules, der = BROKEN[case]
    assert broken_rules(der) == rules


def test_a_missing_extended_key_usage_is_noticed() -> None:
    expected = replace(EXPECTED, extended_key_usage=x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]))
    assert broken_rules(certificate(), expected) == {"thingmint_key_usages_of_profile"}


def test_another_address_is_noticed() -> None:
    expected = replace(
        EXPECTED,
        addresses=tuple(
            each
            for each, _ in PublicAddresses(
                "http://a.example/b.crl", "http://a.example", "http://a.example"
            ).extensions()
        )[:1],
        extension_order=(*EXPECTED.extension_order, ExtensionOID.CRL_DISTRIBUTION_POINTS),
    )
    assert broken_rules(certificate(extensions=(*EXTENSIONS, REVOCATION_LIST)), expected) == {
        "thingmint_addresses_as_prepared"
    }


def test_every_rule_has_a_certificate_that_breaks_it() -> None:
    rules = {rule.name for rule in STRUCTURE_RULES + CONTENT_RULES}
    assert set().union(*(broken for broken, _ in BROKEN.values())) == rules
    assert all(rule.clause for rule in STRUCTURE_RULES + CONTENT_RULES)


def expected_of_a_known_issuer() -> Expected:
    """Return an expectation for which a right certificate has been linted."""
    expected = replace(EXPECTED, known=KnownExtensions())
    assert lint(certificate(), expected).extensions is not None
    return expected


@pytest.mark.parametrize(("broken", "der"), BROKEN.values(), ids=BROKEN)
def test_the_rules_are_the_same_when_the_extensions_of_the_issuer_are_known(broken: set[str], der: bytes) -> None:
    expected = expected_of_a_known_issuer()
    assert broken_rules(der, expected) == broken
    assert lint(certificate(), expected).key_identifier == hashlib.sha1(POINT).digest()


def test_known_extensions_are_not_parsed_again() -> None:
    candidate = lint(certificate(), expected_of_a_known_issuer())
    assert "extensions" not in vars(candidate)
    assert candidate.key_identifier == hashlib.sha1(POINT).digest()


@settings(max_examples=examples(100, 2_000))
@given(where=st.integers(0, sum(map(len, EXTENSIONS)) - 1), octet=st.integers(0, 255))
def test_no_octet_of_the_extensions_goes_unnoticed(where: int, octet: int) -> None:
    listed = bytearray(b"".join(EXTENSIONS))
    listed[where] = octet
    der = certificate(extensions=(bytes(listed),))

    def judged(expected: Expected) -> tuple[str, ...]:
        try:
            lint(der, expected)
        except LintFailed as failure:
            return failure.failed
        return ()

    assert set(judged(expected_of_a_known_issuer())) == set(judged(EXPECTED))


def test_what_is_known_of_one_expectation_says_nothing_about_another() -> None:
    known = expected_of_a_known_issuer()
    another = replace(known, key_usage=x509.KeyUsage(True, True, *[False] * 7))
    assert broken_rules(certificate(), another) == {"thingmint_key_usages_of_profile"}


def test_extensions_whose_identifier_has_no_certain_place_are_not_remembered() -> None:
    known, identifier, expectation = KnownExtensions(), hashlib.sha1(POINT).digest(), (object(),)
    for extensions in (b"", NO_CA, SKI + SKI, SKI.replace(identifier, bytes(20))):
        known.remember(extensions, identifier, expectation)
        assert known.key_identifier_in(extensions, expectation) is None
    known.remember(AKI + SKI + NO_CA, identifier, expectation)
    other = SKI.replace(identifier, bytes(20))
    assert known.key_identifier_in(AKI + other + NO_CA, expectation) == bytes(20)
    assert known.key_identifier_in(AKI + other + NO_CA, (object(),)) is None
    for changed in (SKI + NO_CA, AKI + other + USAGE, NO_CA + other + AKI, AKI + other + NO_CA[:-1] + b"x"):
        assert known.key_identifier_in(changed, expectation) is None
