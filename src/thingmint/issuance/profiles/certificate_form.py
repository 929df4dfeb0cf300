"""Owns the encoding of the constant parts of an issuer's certificates with one profile. Does not sign or lint.

`cryptography` encodes one sample. Certificates are assembled from its parts and their individual parts: the serial
number, the validity, the subject, the public key and its identifier.
"""

import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from thingmint.issuance.encoding.der import SEQUENCE, children, encode, only_element
from thingmint.issuance.encoding.values import integer, time

_SUBJECT_KEY_IDENTIFIER = 1
_IDENTIFIER_BYTES = 20


class CertificateForm:
    """The constant parts of an issuer's certificates, and a constant instead of their signature."""

    def __init__(self, sample: x509.Certificate) -> None:
        """Take the parts from a sample whose second extension is the subject key identifier."""
        der = sample.public_bytes(serialization.Encoding.DER)
        tbs, algorithm, signature = children(der, only_element(der))
        version, _, tbs_algorithm, issuer, *_, extensions = children(der, tbs)
        [sequence] = children(der, extensions)
        identifier = children(der, sequence)[_SUBJECT_KEY_IDENTIFIER]
        self._version = der[version.start : version.end]
        self._algorithm_and_issuer = der[tbs_algorithm.start : issuer.end]
        # The identifier is the last part of its extension and has the same size in all certificates.
        self._before_identifier = der[extensions.start : identifier.end - _IDENTIFIER_BYTES]
        self._after_identifier = der[identifier.end : extensions.end]
        self._unsigned = der[algorithm.start : signature.end]

    def assemble(
        self,
        serial_number: int,
        not_before: datetime,
        not_after: datetime,
        subject_der: bytes,
        public_key_der: bytes,
    ) -> bytes:
        """Return the DER of a certificate with these parts (RFC 5280, 4.1) and the constant signature.

        The serial number is positive.
        """
        tbs = b"".join(
            (
                self._version,
                integer(serial_number),
                self._algorithm_and_issuer,
                encode(SEQUENCE, time(not_before) + time(not_after)),
                subject_der,
                public_key_der,
                self._before_identifier,
                _key_identifier(public_key_der),
                self._after_identifier,
            )
        )
        return encode(SEQUENCE, encode(SEQUENCE, tbs) + self._unsigned)


def _key_identifier(public_key_der: bytes) -> bytes:
    """Return the identifier of RFC 5280, 4.2.1.2, method 1: the SHA-1 of the key's bits."""
    _, bits = children(public_key_der, only_element(public_key_der))
    # The first octet counts the unused bits. SHA-1 only identifies the key.
    return hashlib.sha1(public_key_der[bits.content + 1 : bits.end], usedforsecurity=False).digest()
