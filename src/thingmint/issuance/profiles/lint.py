"""Owns the rules that a certificate must follow before it is signed. Independent of profiles and issuance.

The name of a rule has its source: RFC 5280, the baseline requirements of the CA/Browser Forum (BR), or this service
(the certificate equals the request). The rule also has the clause.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from thingmint.issuance.encoding.der import Element, children, only_element
from thingmint.issuance.encoding.parsing import certificate_in_der
from thingmint.issuance.profiles.known_extensions import KnownExtensions

E = TypeVar("E", bound=x509.ExtensionType)

_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_UNIQUE_IDENTIFIERS = frozenset({0x81, 0xA1, 0x82, 0xA2})
_FIELDS_OF_A_V3_TBS = 8
_EXTENSIONS = 7
_LAST_YEAR_OF_UTC_TIME = 2049
_BITS_OF_LARGEST_SERIAL = 159
_BITS_OF_SMALLEST_SERIAL = 64
_ADDRESSES: Mapping[x509.ObjectIdentifier, type[x509.ExtensionType]] = {
    ExtensionOID.CRL_DISTRIBUTION_POINTS: x509.CRLDistributionPoints,
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS: x509.AuthorityInformationAccess,
}
_STRONG_SIGNATURES = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    }
)


class LintFailed(Exception):
    """A certificate breaks the rules in ``failed`` and must not be signed. This is never the caller's fault."""

    def __init__(self, failed: tuple[str, ...]) -> None:
        super().__init__(f"the certificate breaks {', '.join(failed)}")
        self.failed = failed


@dataclass(frozen=True, slots=True)
class Expected:
    """The intended content of the certificate, in the encodings of its sources."""

    issuer_der: bytes
    issuer_key_identifier: bytes
    issuer_not_after: datetime
    serial_number: int
    not_before: datetime
    not_after: datetime
    subject_der: bytes
    public_key_der: bytes
    key_usage: x509.KeyUsage
    extended_key_usage: x509.ExtendedKeyUsage | None
    extension_order: tuple[x509.ObjectIdentifier, ...]
    addresses: tuple[x509.ExtensionType, ...] = ()
    known: KnownExtensions | None = None
    """The extensions of earlier certificates of which the same is expected, if they are remembered."""

    @property
    def of_extensions(self) -> tuple[object, ...]:
        """What the rules about extensions compare with, apart from the public key."""
        return (
            self.issuer_key_identifier,
            self.key_usage,
            self.extended_key_usage,
            self.extension_order,
            self.addresses,
        )


class Candidate:
    """A certificate to check: parsed by `cryptography`, and as DER elements."""

    def __init__(self, der: bytes, expected: Expected) -> None:
        self.der = der
        self.expected = expected
        self.certificate = certificate_in_der(der)
        # Read once, because each access converts them again.
        self.serial_number = self.certificate.serial_number
        self.not_before = self.certificate.not_valid_before_utc
        self.not_after = self.certificate.not_valid_after_utc
        self._tbs, self._outer_algorithm, _ = children(der, only_element(der))
        self.fields = children(der, self._tbs)
        self.known_key_identifier: bytes | None = None

    def octets(self, index: int) -> bytes:
        """Return the encoding of the TBSCertificate's field at this position."""
        return self._octets(self.fields[index])

    @property
    def to_be_signed(self) -> bytes:
        """The encoding of the TBSCertificate."""
        return self._octets(self._tbs)

    @property
    def subject_der(self) -> bytes:
        """The encoding of the subject."""
        return self.octets(5)

    @property
    def outer_algorithm(self) -> bytes:
        """The algorithm identifier beside the signature."""
        return self._octets(self._outer_algorithm)

    @cached_property
    def extensions(self) -> Mapping[x509.ObjectIdentifier, x509.Extension[x509.ExtensionType]] | None:
        """The extensions in their order, or None if they cannot be parsed or one appears twice."""
        try:
            return {extension.oid: extension for extension in self.certificate.extensions}
        except (ValueError, x509.DuplicateExtension):
            return None

    @property
    def key_identifier(self) -> bytes | None:
        """The subject key identifier, None if there is none that can be read."""
        if self.known_key_identifier is not None:
            return self.known_key_identifier
        value = self.extension(ExtensionOID.SUBJECT_KEY_IDENTIFIER, x509.SubjectKeyIdentifier, critical=False)
        return None if value is None else value.digest

    def extension(self, oid: x509.ObjectIdentifier, kind: type[E], *, critical: bool) -> E | None:
        """Return the extension's value if it exists with this kind and criticality."""
        extension = (self.extensions or {}).get(oid)
        if extension is None or extension.critical is not critical or not isinstance(extension.value, kind):
            return None
        return extension.value

    def _octets(self, element: Element) -> bytes:
        return self.der[element.start : element.end]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: its name, its clause, and the check of a certificate."""

    name: str
    clause: str
    is_kept_by: Callable[[Candidate], bool]


def lint(der: bytes, expected: Expected) -> Candidate:
    """Return the certificate if it follows all rules; raise LintFailed with the names of the broken rules otherwise."""
    try:
        candidate = Candidate(der, expected)
    except ValueError as error:
        raise LintFailed(("rfc5280_certificate_readable",)) from error
    # The rules about the content need a valid structure.
    _require(STRUCTURE_RULES, candidate)
    known = expected.known
    if known is None:
        _require(CONTENT_RULES, candidate)
        return candidate
    extensions = candidate.octets(_EXTENSIONS)
    candidate.known_key_identifier = known.key_identifier_in(extensions, expected.of_extensions)
    if candidate.known_key_identifier is not None:
        _require(VARYING_RULES, candidate)
        return candidate
    _require(CONTENT_RULES, candidate)
    assert candidate.key_identifier is not None, "a rule requires it"
    known.remember(extensions, candidate.key_identifier, expected.of_extensions)
    return candidate


def _require(rules: tuple[Rule, ...], candidate: Candidate) -> None:
    if failed := [rule.name for rule in rules if not rule.is_kept_by(candidate)]:
        raise LintFailed(tuple(failed))


def _is_version_3(candidate: Candidate) -> bool:
    return candidate.certificate.version is x509.Version.v3


def _serial_is_positive_and_short(candidate: Candidate) -> bool:
    serial_number = candidate.serial_number
    return serial_number > 0 and serial_number.bit_length() <= _BITS_OF_LARGEST_SERIAL


def _serial_is_long(candidate: Candidate) -> bool:
    return candidate.serial_number.bit_length() > _BITS_OF_SMALLEST_SERIAL


def _serial_is_as_prepared(candidate: Candidate) -> bool:
    return candidate.serial_number == candidate.expected.serial_number


def _signature_algorithms_agree(candidate: Candidate) -> bool:
    return candidate.octets(2) == candidate.outer_algorithm


def _signature_algorithm_is_strong(candidate: Candidate) -> bool:
    return candidate.certificate.signature_algorithm_oid in _STRONG_SIGNATURES


def _issuer_is_the_ca_subject(candidate: Candidate) -> bool:
    return candidate.octets(3) == candidate.expected.issuer_der


def _times_are_encoded_by_their_year(candidate: Candidate) -> bool:
    tags = [element.tag for element in children(candidate.der, candidate.fields[4])]
    moments = (candidate.not_before, candidate.not_after)
    return tags == [_UTC_TIME if moment.year <= _LAST_YEAR_OF_UTC_TIME else _GENERALIZED_TIME for moment in moments]


def _validity_is_a_period(candidate: Candidate) -> bool:
    return candidate.not_before < candidate.not_after


def _validity_is_as_prepared(candidate: Candidate) -> bool:
    expected = candidate.expected
    return candidate.not_before == expected.not_before and candidate.not_after == expected.not_after


def _validity_ends_with_the_issuer(candidate: Candidate) -> bool:
    return candidate.not_after <= candidate.expected.issuer_not_after


def _subject_is_not_empty(candidate: Candidate) -> bool:
    subject = candidate.fields[5]
    return subject.content < subject.end


def _subject_is_as_prepared(candidate: Candidate) -> bool:
    return candidate.octets(5) == candidate.expected.subject_der


def _public_key_is_as_prepared(candidate: Candidate) -> bool:
    return candidate.octets(6) == candidate.expected.public_key_der


def _has_no_unique_identifiers(candidate: Candidate) -> bool:
    return _UNIQUE_IDENTIFIERS.isdisjoint(field.tag for field in candidate.fields)


def _has_the_fields_of_version_3(candidate: Candidate) -> bool:
    return len(candidate.fields) == _FIELDS_OF_A_V3_TBS


def _extensions_are_readable_and_unique(candidate: Candidate) -> bool:
    return candidate.extensions is not None


def _extensions_are_the_profiles(candidate: Candidate) -> bool:
    return tuple(candidate.extensions or ()) == candidate.expected.extension_order


def _authority_key_identifier_is_right(candidate: Candidate) -> bool:
    value = candidate.extension(ExtensionOID.AUTHORITY_KEY_IDENTIFIER, x509.AuthorityKeyIdentifier, critical=False)
    return (
        value is not None
        and value.key_identifier == candidate.expected.issuer_key_identifier
        and value.authority_cert_issuer is None
        and value.authority_cert_serial_number is None
    )


def _subject_key_identifier_is_right(candidate: Candidate) -> bool:
    _, bit_string = children(candidate.der, candidate.fields[6])
    # RFC 5280, 4.2.1.2, method 1: the bits, without the octet that counts the unused ones. SHA-1 only identifies the
    # key.
    bits = candidate.der[bit_string.content + 1 : bit_string.end]
    return candidate.key_identifier == hashlib.sha1(bits, usedforsecurity=False).digest()


def _is_no_ca(candidate: Candidate) -> bool:
    value = candidate.extension(ExtensionOID.BASIC_CONSTRAINTS, x509.BasicConstraints, critical=True)
    return value is not None and not value.ca and value.path_length is None


def _key_usage_signs_no_certificates(candidate: Candidate) -> bool:
    value = candidate.extension(ExtensionOID.KEY_USAGE, x509.KeyUsage, critical=True)
    return value is not None and not value.key_cert_sign and not value.crl_sign


def _key_usages_are_the_profiles(candidate: Candidate) -> bool:
    usage = candidate.extension(ExtensionOID.KEY_USAGE, x509.KeyUsage, critical=True)
    extended = candidate.extension(ExtensionOID.EXTENDED_KEY_USAGE, x509.ExtendedKeyUsage, critical=False)
    return usage == candidate.expected.key_usage and extended == candidate.expected.extended_key_usage


def _addresses_are_as_prepared(candidate: Candidate) -> bool:
    expected = {each.oid: each for each in candidate.expected.addresses}
    return all(candidate.extension(oid, kind, critical=False) == expected.get(oid) for oid, kind in _ADDRESSES.items())


STRUCTURE_RULES: tuple[Rule, ...] = (
    Rule("rfc5280_version_3", "RFC 5280, 4.1.2.1", _is_version_3),
    Rule("rfc5280_no_unique_identifiers", "RFC 5280, 4.1.2.8", _has_no_unique_identifiers),
    Rule("rfc5280_fields_of_version_3", "RFC 5280, 4.1", _has_the_fields_of_version_3),
)
# What differs between the certificates of an issuer.
VARYING_RULES: tuple[Rule, ...] = (
    Rule("rfc5280_serial_positive_20_octets", "RFC 5280, 4.1.2.2", _serial_is_positive_and_short),
    Rule("cabf_serial_64_bits", "BR, 7.1", _serial_is_long),
    Rule("thingmint_serial_as_prepared", "this service", _serial_is_as_prepared),
    Rule("rfc5280_signature_algorithms_agree", "RFC 5280, 4.1.1.2", _signature_algorithms_agree),
    Rule("cabf_signature_algorithm_strong", "BR, 7.1.3.2", _signature_algorithm_is_strong),
    Rule("rfc5280_issuer_equals_ca_subject", "RFC 5280, 4.1.2.4", _issuer_is_the_ca_subject),
    Rule("rfc5280_utctime_through_2049", "RFC 5280, 4.1.2.5", _times_are_encoded_by_their_year),
    Rule("rfc5280_validity_is_a_period", "RFC 5280, 4.1.2.5", _validity_is_a_period),
    Rule("thingmint_validity_as_prepared", "this service", _validity_is_as_prepared),
    Rule("thingmint_validity_ends_with_issuer", "this service", _validity_ends_with_the_issuer),
    Rule("rfc5280_subject_not_empty", "RFC 5280, 4.1.2.6", _subject_is_not_empty),
    Rule("thingmint_subject_as_prepared", "this service", _subject_is_as_prepared),
    Rule("thingmint_public_key_as_prepared", "this service", _public_key_is_as_prepared),
    Rule("rfc5280_subject_key_identifier", "RFC 5280, 4.2.1.2", _subject_key_identifier_is_right),
)
# What is the same for all certificates of an issuer, as `KnownExtensions` says.
EXTENSION_RULES: tuple[Rule, ...] = (
    Rule("rfc5280_extensions_unique", "RFC 5280, 4.2", _extensions_are_readable_and_unique),
    Rule("thingmint_extensions_of_profile", "this service", _extensions_are_the_profiles),
    Rule("rfc5280_authority_key_identifier", "RFC 5280, 4.2.1.1", _authority_key_identifier_is_right),
    Rule("rfc5280_basic_constraints_no_ca", "RFC 5280, 4.2.1.9", _is_no_ca),
    Rule("rfc5280_key_usage_signs_no_certificates", "RFC 5280, 4.2.1.3", _key_usage_signs_no_certificates),
    Rule("thingmint_key_usages_of_profile", "this service", _key_usages_are_the_profiles),
    Rule("thingmint_addresses_as_prepared", "this service", _addresses_are_as_prepared),
)
CONTENT_RULES = VARYING_RULES + EXTENSION_RULES
