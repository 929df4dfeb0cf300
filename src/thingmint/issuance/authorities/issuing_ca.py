"""Owns a CA that issues device certificates: its certificate, its id and its signer. Independent of profiles."""

import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.issuance.keys.signer import Signer

_ISSUER_CURVES = ("secp256r1", "secp384r1")
_ISSUER_RSA_BITS = (2048, 3072, 4096)


class IssuerUnfit(ValueError):
    """A certificate, a private key and a profile cannot be used as an issuer. The message gives the reason."""


class IssuingCA:
    """A CA certificate whose key signs device certificates, or has signed them.

    ``issuer_id`` identifies it everywhere. ``signer`` is None if the key is not available: a retired CA is trusted
    without a key.
    """

    __slots__ = ("certificate", "issuer_id", "key_identifier", "not_after", "not_before", "signer")

    def __init__(self, certificate: x509.Certificate, signer: Signer | None) -> None:
        """Raise IssuerUnfit if the key does not match or has another kind, or if it is not a CA certificate."""
        public_key = certificate.public_key()
        if signer is not None:
            require_issuer_key(signer.public_key)
            if public_key != signer.public_key:
                raise IssuerUnfit("the private key does not belong to the issuer's certificate")
        self.key_identifier = _key_identifier_of_ca(certificate)
        self.certificate = certificate
        self.signer = signer
        self.issuer_id = issuer_id_of(certificate)
        self.not_before: datetime = certificate.not_valid_before_utc
        self.not_after: datetime = certificate.not_valid_after_utc

    def has_signed(self, certificate: x509.Certificate) -> bool:
        """Return whether the certificate names this CA as its issuer and has a signature of its key."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True


def issuer_id_of(certificate: x509.Certificate) -> str:
    """Return the id of an issuing CA: the SHA-256 of its certificate's DER, in lower-case hex.

    It is the digest of the certificate, not of its key, because two certificates of one key can have different
    validities.
    """
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()


def require_issuer_key(public_key: PublicKey) -> None:
    """Raise IssuerUnfit unless an issuer of device certificates may have a key of this kind and size."""
    if isinstance(public_key, rsa.RSAPublicKey):
        if public_key.key_size not in _ISSUER_RSA_BITS:
            raise IssuerUnfit(f"an RSA issuer has 2048, 3072 or 4096 bits, not {public_key.key_size}")
    elif public_key.curve.name not in _ISSUER_CURVES:
        raise IssuerUnfit(f"an ECDSA issuer is on P-256 or P-384, not on {public_key.curve.name}")


def _key_identifier_of_ca(certificate: x509.Certificate) -> bytes:
    try:
        extensions = certificate.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        key_identifier = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound as error:
        raise IssuerUnfit("the issuer's certificate lacks an extension that every CA's has") from error
    if not constraints.ca or not usage.key_cert_sign:
        raise IssuerUnfit("the issuer's certificate may not sign certificates")
    return key_identifier
