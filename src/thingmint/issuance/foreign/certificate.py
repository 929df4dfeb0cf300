"""Owns the parsing of certificates that other CAs issued, and the checks of all of them. Reads no registry or clock.

No part of such a certificate is trusted before its check. Bytes that are not accepted raise CertificateInvalid.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import SignatureAlgorithmOID

from thingmint.core.error_text import in_words
from thingmint.core.errors import CertificateInvalid
from thingmint.core.identifiers import CertificateId, SerialNumber, certificate_id_of
from thingmint.issuance.encoding.der import MalformedDER, children, only_element
from thingmint.issuance.encoding.parsing import certificate_in_der
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.issuance.encoding.pem_blocks import MalformedPEM, read_block
from thingmint.issuance.foreign.signed_form import ensure_one_encoding, signed_digest
from thingmint.issuance.keys.key_pairs import WeakKey, check_public_key
from thingmint.issuance.keys.subject_keys import subject_public_key

# Each has at most 65,536 characters, the API's limit.
_REMEMBERED = 8
_LABELS = ("CERTIFICATE",)
_MAX_SERIAL_OCTETS = 20
# RFC 5280, 4.1.2.1: the INTEGER 2 in an explicit tag.
_VERSION_3 = b"\xa0\x03\x02\x01\x02"
# A certificate that was just issued on a machine whose clock is ahead of this one's is accepted.
_CLOCK_SKEW = timedelta(minutes=5)
# The algorithms that AWS IoT's developer guide names for certificates of devices.
_SIGNATURE_ALGORITHMS = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.RSASSA_PSS,
        SignatureAlgorithmOID.DSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
    }
)
_SIGNATURE_HASHES = frozenset({"sha256", "sha384", "sha512"})


@dataclass(frozen=True, slots=True)
class ForeignCertificate:
    """A well-formed X.509 certificate. ``what`` names it in messages. Digests are hexadecimal SHA-256 of names.

    It has version 3, or version 1 as OpenSSL creates it without extensions. ``signed_digest`` is that of the bytes that
    its issuer signed. ``pem`` is the text that the caller sent, None if it equals the text of `certificate_pem`.
    """

    what: str
    der: bytes
    parsed: x509.Certificate
    serial_number: SerialNumber
    issuer: bytes
    subject: bytes
    not_before: datetime
    not_after: datetime
    signed_digest: str
    pem: str | None = None

    @property
    def certificate_id(self) -> CertificateId:
        """The id that AWS IoT gives to the certificate."""
        return certificate_id_of(self.der)

    @property
    def key_digest(self) -> str:
        """The digest of a CA's key, which is the same for all certificates of the key."""
        public_key = self.parsed.public_key()
        encoded = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(encoded).hexdigest()

    @property
    def issuer_digest(self) -> str:
        """The digest that finds the CA certificates with the issuer's name."""
        return hashlib.sha256(self.issuer).hexdigest()

    @property
    def subject_digest(self) -> str:
        """The digest that finds this certificate if it is a CA certificate."""
        return hashlib.sha256(self.subject).hexdigest()


@lru_cache(_REMEMBERED)
def load_foreign_pem(pem: str, what: str) -> ForeignCertificate:
    """Return the certificate of the one PEM block that is all of the text; raise CertificateInvalid.

    The last few are cached, because policies, the template and the registry all parse a template's certificate.
    """
    try:
        der = read_block(pem, _LABELS, what)
    except MalformedPEM as error:
        raise CertificateInvalid(in_words(error)) from error
    certificate = load_foreign(der, what)
    return certificate if pem == certificate_pem(der) else replace(certificate, pem=pem)


def load_foreign(der: bytes, what: str) -> ForeignCertificate:
    """Return the certificate; raise CertificateInvalid unless it is DER of an X.509 certificate of version 1 or 3.

    The parts outside of the signed bytes must be DER. Another valid signature of the same content is accepted: with
    ECDSA anyone can derive one from a given one. `ForeignCertificate.signed_digest` is the same for both.
    """
    certificate = load_registered(der, what)
    try:
        ensure_one_encoding(der)
    except MalformedDER as error:
        raise CertificateInvalid(f"The {what} is not encoded in DER: {in_words(error)}") from error
    return certificate


def load_registered(der: bytes, what: str) -> ForeignCertificate:
    """Return a certificate of the registry. An earlier version may have accepted it in another encoding.

    Raises CertificateInvalid unless it is an X.509 certificate of version 1 or 3.
    """
    try:
        return _read(der, what)
    except (ValueError, OverflowError) as error:
        raise CertificateInvalid(f"The {what} is not an X.509 certificate of version 1 or 3") from error


def ensure_acceptable(certificate: ForeignCertificate, at: datetime) -> None:
    """Raise CertificateInvalid unless the certificate is valid at this time and has an accepted key."""
    if not certificate.not_before - _CLOCK_SKEW <= at <= certificate.not_after:
        raise CertificateInvalid(
            f"The {certificate.what} is valid from {certificate.not_before:%Y-%m-%dT%H:%M:%SZ} "
            f"to {certificate.not_after:%Y-%m-%dT%H:%M:%SZ}, and not at {at:%Y-%m-%dT%H:%M:%SZ}"
        )
    try:
        check_public_key(subject_public_key(certificate.parsed))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateInvalid(f"The public key of the {certificate.what} cannot be read") from error
    except WeakKey as error:
        raise CertificateInvalid(f"{error.message} ({certificate.what})") from error


def ensure_accepted_signature(certificate: ForeignCertificate) -> None:
    """Raise CertificateInvalid unless the certificate names an accepted signature algorithm."""
    parsed = certificate.parsed
    try:
        signature_hash = parsed.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _signature_refused(certificate) from error
    if parsed.signature_algorithm_oid not in _SIGNATURE_ALGORITHMS or signature_hash is None:
        raise _signature_refused(certificate)
    if signature_hash.name not in _SIGNATURE_HASHES:
        raise _signature_refused(certificate)


def _signature_refused(certificate: ForeignCertificate) -> CertificateInvalid:
    return CertificateInvalid(
        f"The signature algorithm of the {certificate.what} is not one of RSA (PKCS#1 v1.5 or PSS) or ECDSA with "
        "SHA-256, SHA-384 or SHA-512, or DSA with SHA-256"
    )


def _read(der: bytes, what: str) -> ForeignCertificate:
    tbs, _, _ = children(der, only_element(der))
    version, *parts = children(der, tbs)
    # RFC 5280, 4.1: serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo; in version 3 there may be
    # more.
    if der[version.start : version.end] == _VERSION_3:
        serial, _, issuer, _, subject, _, *_ = parts
    else:
        serial, _, issuer, _, subject, _ = (version, *parts)
    serial_number = int.from_bytes(der[serial.content : serial.end], "big", signed=True)
    # RFC 5280, 4.1.2.2. The library would warn of such numbers when it parses them.
    if serial_number <= 0 or serial.end - serial.content > _MAX_SERIAL_OCTETS:
        raise ValueError("the serial number is not positive, or too long")
    parsed = certificate_in_der(der)
    return ForeignCertificate(
        what=what,
        der=der,
        parsed=parsed,
        serial_number=SerialNumber(serial_number),
        issuer=der[issuer.start : issuer.end],
        subject=der[subject.start : subject.end],
        not_before=parsed.not_valid_before_utc,
        not_after=parsed.not_valid_after_utc,
        signed_digest=signed_digest(der),
    )
