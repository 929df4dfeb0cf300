"""Owns the parsing of OCSP requests and the signing of responses (RFC 6960, 5019, 9654). Does no I/O.

Requests of the form that most clients send are read here; `cryptography` reads the others. Those of several
certificates are taken apart by the outer shape of their DER.
Responses are assembled, and signed once.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from thingmint.core.certificates.revocation import Revocation, RevocationReason
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.encoding.der import SEQUENCE, Element, children, encode, only_element
from thingmint.issuance.encoding.parsing import READING_ERRORS
from thingmint.issuance.revocation.response_form import GOOD, HASHES, SIGNATURE_HASH, UNKNOWN, ResponseForm, revoked
from thingmint.issuance.revocation.usual_request import read_usual_request

MAX_CERTIFICATES = 16
# RFC 9654, 2.1.
_NONCE_OCTETS = range(1, 129)
# The identifier octet of requestExtensions (RFC 6960, 4.1.1).
_EXTENSIONS = 0xA2
_SIGNATURE = ec.ECDSA(SIGNATURE_HASH)


class MalformedRequest(ValueError):
    """The bytes are not an OCSP request as in RFC 6960 and RFC 9654, or the request has too many certificates."""


class CertificateName(NamedTuple):
    """A CertID (RFC 6960, 4.1.1): an issuer by digests of its name and of its key, and a serial number."""

    algorithm: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial_number: SerialNumber

    @property
    def issuer(self) -> tuple[str, bytes, bytes]:
        """The digests that identify the issuer."""
        return self.algorithm, self.issuer_name_hash, self.issuer_key_hash


class StatusRequest(NamedTuple):
    """A client's request: the certificates, and the nonce that the response must repeat."""

    names: tuple[CertificateName, ...]
    nonce: bytes | None


class CertificateStanding(NamedTuple):
    """The status of a certificate in a response. A certificate that was never issued is unknown."""

    name: CertificateName
    is_issued: bool
    revocation: Revocation | None = None


class ResponseTerms(NamedTuple):
    """The fields of a response besides the statuses: its dates, and the nonce of the request."""

    this_update: datetime
    next_update: datetime
    nonce: bytes | None = None


def read_request(der: bytes) -> StatusRequest:
    """Return the parsed request; raise MalformedRequest.

    Signatures and extensions that are not critical are ignored. If the issuer is not named by SHA-1 or SHA-256 digests,
    it is unknown.
    """
    usual = read_usual_request(der)
    if usual is not None:
        algorithm, issuer_name_hash, issuer_key_hash, number, nonce = usual
        return StatusRequest(
            (CertificateName(algorithm, issuer_name_hash, issuer_key_hash, SerialNumber(number)),), nonce
        )
    try:
        requests = [ocsp.load_der_ocsp_request(single) for single in _single_requests(der)]
        names = tuple(map(_name_of, requests))
        return StatusRequest(names, _nonce_of(requests[0].extensions))
    except MalformedRequest:
        raise
    # `cryptography` raises these if the bytes are not a request, or if an extension appears twice.
    except READING_ERRORS as error:
        raise MalformedRequest("the bytes are no OCSP request") from error


def issuer_names(ca: IssuingCA) -> tuple[tuple[str, bytes, bytes], ...]:
    """Return the digests with which clients can name the CA (RFC 6960, 4.1.1)."""
    name = ca.certificate.subject.public_bytes()
    spki = ca.certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _, bits = children(spki, only_element(spki))
    key = spki[bits.content + 1 : bits.end]
    return tuple((each, hashlib.new(each, name).digest(), hashlib.new(each, key).digest()) for each in HASHES)


@cache
def refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    """Return a response with only an error status (RFC 6960, 4.2.1)."""
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(serialization.Encoding.DER)


class OCSPResponder:
    """Signs responses about the certificates of one CA with a key to which the CA has delegated this."""

    __slots__ = ("_form", "_private_key", "certificate", "not_after", "not_before")

    def __init__(self, certificate: x509.Certificate, private_key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self.not_before = certificate.not_valid_before_utc
        self.not_after = certificate.not_valid_after_utc
        self._private_key = private_key
        self._form = ResponseForm(certificate, private_key)

    def is_fresh(self, at: datetime) -> bool:
        """Return whether its certificate is valid and more than half of its validity is left."""
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
    """Return one request for each certificate of the request; raise MalformedRequest, MalformedDER."""
    outer = only_element(der)
    parts = children(der, outer)
    if not parts:
        raise MalformedRequest("the request is empty")
    tbs = parts[0]
    fields = children(der, tbs)
    # RFC 6960, 4.1.1: optional elements before and after the list have other tags.
    lists = [field for field in fields if field.tag == SEQUENCE]
    if len(lists) != 1:
        raise MalformedRequest("the request has no list of certificates")
    requests = children(der, lists[0])
    if not 1 <= len(requests) <= MAX_CERTIFICATES:
        raise MalformedRequest(f"a request asks for 1 to {MAX_CERTIFICATES} certificates")
    for each in requests:
        _require_no_critical_extension(der, each)
    if len(requests) == 1:
        return [der]
    before, behind = der[tbs.content : lists[0].start], der[lists[0].end : tbs.end]
    return [
        encode(SEQUENCE, encode(SEQUENCE, before + encode(SEQUENCE, der[each.start : each.end]) + behind))
        for each in requests
    ]


def _require_no_critical_extension(der: bytes, request: Element) -> None:
    """Raise MalformedRequest if the part about one certificate has a critical extension (RFC 6960, 4.1.1 and 4.1.2).

    `cryptography` reads the extensions of the whole request only, so these are put there.
    """
    name, *optional = children(der, request)
    for field in optional:
        listed = encode(SEQUENCE, encode(SEQUENCE, der[name.start : name.end]))
        alone = encode(SEQUENCE, encode(SEQUENCE, listed + encode(_EXTENSIONS, der[field.content : field.end])))
        if any(extension.critical for extension in ocsp.load_der_ocsp_request(alone).extensions):
            raise MalformedRequest("the request has a critical extension that is not known")


def _name_of(request: ocsp.OCSPRequest) -> CertificateName:
    # The size of the digest is not checked, because an issuer with a wrong digest is not found.
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
