"""Owns OCSP without I/O (RFC 6960, 5019, 9654): how requests are read and responses signed; knows no store.

`cryptography` reads requests of one certificate; those of several are taken apart by the outer shape of their DER.
Responses are assembled, and signed once.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.encoding.der import SEQUENCE, children, encode, only_element
from thingmint.issuance.revocation.response_form import GOOD, HASHES, SIGNATURE_HASH, UNKNOWN, ResponseForm, revoked

MAX_CERTIFICATES = 16
# RFC 9654, 2.1.
_NONCE_OCTETS = range(1, 129)
_SIGNATURE = ec.ECDSA(SIGNATURE_HASH)


class MalformedRequest(ValueError):
    """The bytes are no OCSP request that RFC 6960 and RFC 9654 allow, or ask for too many certificates."""


@dataclass(frozen=True, slots=True)
class CertificateName:
    """A CertID (RFC 6960, 4.1.1): an issuer by digests of its name and of its key, and a serial number."""

    algorithm: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial_number: SerialNumber

    @property
    def issuer(self) -> tuple[str, bytes, bytes]:
        """By what the issuer is looked for."""
        return self.algorithm, self.issuer_name_hash, self.issuer_key_hash


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """What a client asks: for which certificates, and with which nonce that the response is to repeat."""

    names: tuple[CertificateName, ...]
    nonce: bytes | None


@dataclass(frozen=True, slots=True)
class CertificateStanding:
    """What is answered about a certificate; one that was never issued is unknown, one that is not revoked is good."""

    name: CertificateName
    is_issued: bool
    revocation: Revocation | None = None


@dataclass(frozen=True, slots=True)
class ResponseTerms:
    """What a response says beside the standings: its dates, and the nonce of the request."""

    this_update: datetime
    next_update: datetime
    nonce: bytes | None = None


def read_request(der: bytes) -> StatusRequest:
    """Return what the request asks; raise MalformedRequest.

    A signature is not looked at, and neither are extensions that are not critical. Certificates whose issuer is named
    by another digest than SHA-1 or SHA-256 are of unknown issuers.
    """
    try:
        requests = [ocsp.load_der_ocsp_request(single) for single in _single_requests(der)]
        names = tuple(map(_name_of, requests))
        return StatusRequest(names, _nonce_of(requests[0].extensions))
    except MalformedRequest:
        raise
    # `cryptography` raises these for what is no request, or has an extension twice.
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise MalformedRequest("the bytes are no OCSP request") from error


def issuer_names(ca: IssuingCA) -> tuple[tuple[str, bytes, bytes], ...]:
    """Return by which digests clients may look for the CA (RFC 6960, 4.1.1)."""
    name = ca.certificate.subject.public_bytes()
    spki = ca.certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _, bits = children(spki, only_element(spki))
    key = spki[bits.content + 1 : bits.end]
    return tuple((each, hashlib.new(each, name).digest(), hashlib.new(each, key).digest()) for each in HASHES)


@cache
def refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    """Return the response that tells only why there is none (RFC 6960, 4.2.1)."""
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(serialization.Encoding.DER)


class OCSPResponder:
    """Signs responses about the certificates of one CA with a key that the CA has delegated them to."""

    __slots__ = ("_form", "_private_key", "certificate", "not_after", "not_before")

    def __init__(self, certificate: x509.Certificate, private_key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self.not_before = certificate.not_valid_before_utc
        self.not_after = certificate.not_valid_after_utc
        self._private_key = private_key
        self._form = ResponseForm(certificate, private_key)

    def is_fresh(self, at: datetime) -> bool:
        """Return whether its certificate is valid and has more than half of its time to go."""
        half = self.not_before + (self.not_after - self.not_before) / 2
        return self.not_before <= at < half

    def respond(self, standings: Sequence[CertificateStanding], terms: ResponseTerms) -> bytes:
        """Return the DER of a response about at least one certificate."""
        answers = [
            self._form.answer(
                each.name.algorithm,
                each.name.issuer_name_hash,
                each.name.issuer_key_hash,
                each.name.serial_number,
                _status_of(each),
                terms.this_update,
                terms.next_update,
            )
            for each in standings
        ]
        to_be_signed = self._form.to_be_signed(answers, terms.this_update, terms.nonce)
        return self._form.signed(to_be_signed, self._private_key.sign(to_be_signed, _SIGNATURE))


def _single_requests(der: bytes) -> list[bytes]:
    """Return the request as one for each of its certificates; raise MalformedRequest, MalformedDER."""
    outer = only_element(der)
    parts = children(der, outer)
    if not parts:
        raise MalformedRequest("the request is empty")
    tbs = parts[0]
    fields = children(der, tbs)
    # RFC 6960, 4.1.1: what may stand before and behind the list has tags of its own.
    lists = [field for field in fields if field.tag == SEQUENCE]
    if len(lists) != 1:
        raise MalformedRequest("the request has no list of certificates")
    requests = children(der, lists[0])
    if not 1 <= len(requests) <= MAX_CERTIFICATES:
        raise MalformedRequest(f"a request asks for 1 to {MAX_CERTIFICATES} certificates")
    if len(requests) == 1:
        return [der]
    before, behind = der[tbs.content : lists[0].start], der[lists[0].end : tbs.end]
    return [
        encode(SEQUENCE, encode(SEQUENCE, before + encode(SEQUENCE, der[each.start : each.end]) + behind))
        for each in requests
    ]


def _name_of(request: ocsp.OCSPRequest) -> CertificateName:
    # The digest's own size is not checked: an issuer that is named by something else is not found.
    try:
        algorithm = request.hash_algorithm.name
    except UnsupportedAlgorithm:
        algorithm = "unknown"
    serial_number = SerialNumber(request.serial_number)
    return CertificateName(algorithm, request.issuer_name_hash, request.issuer_key_hash, serial_number)


def _nonce_of(extensions: x509.Extensions) -> bytes | None:
    nonce = None
    for extension in extensions:
        if isinstance(extension.value, x509.OCSPNonce):
            nonce = extension.value.nonce
            if len(nonce) not in _NONCE_OCTETS:
                raise MalformedRequest("a nonce has 1 to 128 octets")
        elif extension.critical and not isinstance(extension.value, x509.OCSPAcceptableResponses):
            raise MalformedRequest("the request has a critical extension that is not known")
    return nonce


def _status_of(standing: CertificateStanding) -> bytes:
    revocation = standing.revocation
    if revocation is None:
        return GOOD if standing.is_issued else UNKNOWN
    is_unspecified = revocation.reason is RevocationReason.UNSPECIFIED
    return revoked(revocation.revoked_at, None if is_unspecified else revocation.reason.value)
