"""Owns the checks of a certificate that a provider signed for a signing request. Reads no registry or clock."""

from datetime import datetime

from cryptography.hazmat.primitives import serialization

from thingmint.core.errors import CertificateInvalid
from thingmint.issuance.csr import SigningRequest
from thingmint.issuance.foreign.certificate import (
    ForeignCertificate,
    ensure_acceptable,
    ensure_accepted_signature,
    load_foreign_pem,
)
from thingmint.issuance.keys.key_pairs import PublicKey, accepted_public_key

_EMPTY_NAME = b"\x30\x00"


def load_provided_pem(pem: str, request: SigningRequest, at: datetime) -> ForeignCertificate:
    """Return the certificate if it is valid at this time and has the request's key and subject.

    Raises CertificateInvalid otherwise, for instance if the provider has answered another request.
    """
    certificate = load_foreign_pem(pem, "certificate of the certificate provider")
    ensure_acceptable(certificate, at)
    ensure_accepted_signature(certificate)
    if _encoded(accepted_public_key(certificate.parsed.public_key())) != _encoded(request.public_key):
        raise CertificateInvalid(f"The {certificate.what} has another public key than the signing request")
    if certificate.subject != (_EMPTY_NAME if request.subject_der is None else request.subject_der):
        raise CertificateInvalid(f"The {certificate.what} has another subject than the signing request")
    return certificate


def _encoded(public_key: PublicKey) -> bytes:
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
