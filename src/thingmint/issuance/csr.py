"""Owns the parsing of certificate signing requests, which are untrusted input, and the rules of their acceptance.

Only the subject and the key of a request are used, and only after checks.
"""

from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from thingmint.core.error_text import in_words
from thingmint.core.errors import InvalidRequest
from thingmint.issuance.encoding.der import children, only_element
from thingmint.issuance.encoding.odd_names import odd_names_allowed
from thingmint.issuance.encoding.parsing import READING_ERRORS, request_in_der
from thingmint.issuance.encoding.pem_blocks import MalformedPEM, read_block
from thingmint.issuance.keys.key_pairs import PublicKey, WeakKey, accepted_public_key
from thingmint.issuance.keys.subject_keys import subject_public_key
from thingmint.issuance.profiles.subject import check_subject

_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
_EMPTY_NAME = b"\x30\x00"
_NOT_PKCS10 = "The certificate signing request is not a PKCS#10 request"
# Old tools sign requests with SHA-1. The signature proves only that the sender has the key. The caller is authenticated
# in other ways, and only the subject is used besides.
_SIGNATURE_HASHES = ("sha1", "sha256", "sha384", "sha512")
# RFC 7030, 4.4.1.1 and 4.4.1.2: DecryptKeyIdentifier and AsymmetricDecryptKeyIdentifier.
_KEY_ENCRYPTION = frozenset({"1.2.840.113549.1.9.16.2.37", "1.2.840.113549.1.9.16.2.54"})


class MalformedCSR(InvalidRequest):
    """The request is not one PEM block of a PKCS#10 certification request."""


class CSRSignatureRefused(InvalidRequest):
    """The request is not signed by its own key, or with a broken hash function."""


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A checked key and a checked subject in DER. Without a subject the certificate gets that of its profile."""

    subject_der: bytes | None
    public_key: PublicKey
    _parsed: x509.CertificateSigningRequest = field(repr=False, compare=False)

    @property
    def subject(self) -> x509.Name | None:
        """The subject as the library's value, which takes longer to make than the rest of the request."""
        if self.subject_der is None:
            return None
        with odd_names_allowed():
            return self._parsed.subject


def load_csr(pem: str) -> SigningRequest:
    """Return the key and the subject of the request.

    Raises MalformedCSR, SubjectRefused, WeakKey or CSRSignatureRefused, all of them InvalidRequest, for any bytes.
    """
    return load_csr_der(_der(pem))


def load_csr_der(der: bytes) -> SigningRequest:
    """Return the key and the subject of a request in DER; raise what `load_csr` raises."""
    subject_der, public_key_der = _parts(der)
    # Before anything else parses the names, because the errors of this check name the reason and the place.
    check_subject(subject_der)
    csr = _parse(der)
    public_key = _public_key(csr, public_key_der)
    _verify(csr)
    return SigningRequest(_chosen_subject(subject_der), public_key, csr)


def load_subject_der(der: bytes) -> bytes | None:
    """Return the subject of a request in DER, or None; ignore its key and its signature (RFC 7030, 4.4.1).

    Raises MalformedCSR or SubjectRefused.
    """
    subject_der, _ = _parts(der)
    check_subject(subject_der)
    _parse(der)
    return _chosen_subject(subject_der)


def require_no_key_encryption(der: bytes) -> None:
    """Raise InvalidRequest if the request wants its new private key encrypted in addition to TLS.

    A key must not be sent with less protection than requested (RFC 7030, 4.4.2). ``der`` is a request that
    `load_subject_der` has parsed. Also raises MalformedCSR.
    """
    try:
        wanted = {attribute.oid.dotted_string for attribute in request_in_der(der).attributes}
    except ValueError as error:
        raise MalformedCSR("The attributes of the certificate signing request are malformed") from error
    if wanted & _KEY_ENCRYPTION:
        raise InvalidRequest(
            "The private key cannot be encrypted for a key of the client: it is protected by TLS alone"
        )


def asks_for_alternative_names(der: bytes) -> bool:
    """Return whether the request has a subjectAltName.

    ``der`` is a request that `load_csr_der` has parsed. Raises MalformedCSR.
    """
    try:
        with odd_names_allowed():
            extensions = request_in_der(der).extensions
    except READING_ERRORS as error:
        raise MalformedCSR("The extensions of the certificate signing request are malformed") from error
    return any(extension.oid == ExtensionOID.SUBJECT_ALTERNATIVE_NAME for extension in extensions)


def _der(pem: str) -> bytes:
    try:
        return read_block(pem, _LABELS, "certificate signing request")
    except MalformedPEM as error:
        raise MalformedCSR(in_words(error)) from error


def _parts(der: bytes) -> tuple[bytes, bytes]:
    try:
        tbs, _, _ = children(der, only_element(der))
        # RFC 2986, 4.1: version, subject, subjectPKInfo, attributes.
        _, subject, public_key, _ = children(der, tbs)
    except ValueError as error:
        raise MalformedCSR(_NOT_PKCS10) from error
    return der[subject.start : subject.end], der[public_key.start : public_key.end]


def _chosen_subject(subject_der: bytes) -> bytes | None:
    # RFC 5280, 4.1.2.6: a certificate without a subject needs a critical subjectAltName, which device certificates
    # lack.
    return None if subject_der == _EMPTY_NAME else subject_der


def _parse(der: bytes) -> x509.CertificateSigningRequest:
    try:
        return request_in_der(der)
    except ValueError as error:
        raise MalformedCSR(_NOT_PKCS10) from error


def _public_key(csr: x509.CertificateSigningRequest, expected: bytes) -> PublicKey:
    try:
        public_key = accepted_public_key(subject_public_key(csr))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WeakKey("The public key of the certificate signing request cannot be read or is not supported") from error
    encoded = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    # Otherwise the certificate would have another encoding of the key: a compressed point, other algorithm parameters.
    if encoded != expected:
        raise WeakKey("The public key is not encoded as RFC 3279, 2.3.1 and RFC 5480, 2 with an uncompressed point ask")
    return public_key


def _verify(csr: x509.CertificateSigningRequest) -> None:
    try:
        signature_hash = csr.signature_hash_algorithm
        is_valid = csr.is_signature_valid or _is_signed_with_sha1(csr)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CSRSignatureRefused("The signature algorithm of the certificate signing request is unknown") from error
    name = "no hash" if signature_hash is None else signature_hash.name
    if name not in _SIGNATURE_HASHES:
        raise CSRSignatureRefused(
            f"The certificate signing request is signed with {name}; accepted are {', '.join(_SIGNATURE_HASHES)}"
        )
    if not is_valid:
        raise CSRSignatureRefused(
            f"The certificate signing request is not signed by the private key of its public key (with {name})"
        )


def _is_signed_with_sha1(csr: x509.CertificateSigningRequest) -> bool:
    # The library rejects every such signature.
    public_key, signed = csr.public_key(), csr.tbs_certrequest_bytes
    try:
        if csr.signature_algorithm_oid == SignatureAlgorithmOID.RSA_WITH_SHA1 and isinstance(
            public_key, rsa.RSAPublicKey
        ):
            public_key.verify(csr.signature, signed, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303  see above
            return True
        if csr.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA1 and isinstance(
            public_key, ec.EllipticCurvePublicKey
        ):
            public_key.verify(csr.signature, signed, ec.ECDSA(hashes.SHA1()))  # noqa: S303  see above
            return True
    except InvalidSignature:
        return False
    return False
