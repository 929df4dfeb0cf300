"""Owns reading certificate signing requests, the least trusted bytes of the service; knows no policy but acceptance.

Nothing of a request is used but its subject and its key, and both only as they were checked.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from thingmint.core.errors import InvalidRequest
from thingmint.host.words import in_words
from thingmint.issuance.encoding.der import children, only_element
from thingmint.issuance.encoding.odd_names import odd_names_allowed
from thingmint.issuance.encoding.pem_blocks import MalformedPEM, read_block
from thingmint.issuance.keys.key_pairs import PublicKey, WeakKey, accepted_public_key
from thingmint.issuance.profiles.subject import SubjectRefused, check_subject

_LABELS = ("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")
_EMPTY_NAME = b"\x30\x00"
_NOT_PKCS10 = "The certificate signing request is not a PKCS#10 request"
# SHA-1 is what old tools sign requests with. The signature proves that the sender has the key, and nothing else: who
# asks is known by other means, and nothing else in the request is used but its subject.
_SIGNATURE_HASHES = ("sha1", "sha256", "sha384", "sha512")
# RFC 7030, 4.4.1.1 and 4.4.1.2: DecryptKeyIdentifier and AsymmetricDecryptKeyIdentifier.
_KEY_ENCRYPTION = frozenset({"1.2.840.113549.1.9.16.2.37", "1.2.840.113549.1.9.16.2.54"})


class MalformedCSR(InvalidRequest):
    """The request is not one PEM block of a PKCS#10 certification request."""


class CSRSignatureRefused(InvalidRequest):
    """The request is not signed by its own key, or with a hash function that proves nothing any more."""


@dataclass(frozen=True, slots=True)
class SigningRequest:
    """A checked key and a checked subject; no subject means that the request leaves it to the certificate profile."""

    subject: x509.Name | None
    public_key: PublicKey


def load_csr(pem: str) -> SigningRequest:
    """Return what the request asks for.

    Raises MalformedCSR, SubjectRefused, WeakKey or CSRSignatureRefused, all of them InvalidRequest, for any bytes.
    """
    return load_csr_der(_der(pem))


def load_csr_der(der: bytes) -> SigningRequest:
    """Return what a request in DER asks for; raise what `load_csr` raises."""
    subject_der, public_key_der = _parts(der)
    # Before anything else reads the names: this says what is wrong with them, and where.
    check_subject(subject_der)
    csr = _parse(der)
    public_key = _public_key(csr, public_key_der)
    _verify(csr)
    return SigningRequest(_subject(csr, subject_der), public_key)


def require_no_key_encryption(der: bytes) -> None:
    """Return unless the request wants the private key that is made for it encrypted beyond TLS.

    ``der`` is a request that `load_csr_der` has read. Raises MalformedCSR, and InvalidRequest: a key must not be sent
    with less protection than was asked for (RFC 7030, 4.4.2).
    """
    try:
        wanted = {attribute.oid.dotted_string for attribute in x509.load_der_x509_csr(der).attributes}
    except ValueError as error:
        raise MalformedCSR("The attributes of the certificate signing request are malformed") from error
    if wanted & _KEY_ENCRYPTION:
        raise InvalidRequest(
            "The private key cannot be encrypted for a key of the client: it is protected by TLS alone"
        )


def asks_for_alternative_names(der: bytes) -> bool:
    """Return whether the request has a subjectAltName.

    ``der`` is a request that `load_csr_der` has read. Raises MalformedCSR.
    """
    try:
        with odd_names_allowed():
            extensions = x509.load_der_x509_csr(der).extensions
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
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


def _parse(der: bytes) -> x509.CertificateSigningRequest:
    try:
        return x509.load_der_x509_csr(der)
    except (ValueError, x509.InvalidVersion) as error:
        raise MalformedCSR(_NOT_PKCS10) from error


def _public_key(csr: x509.CertificateSigningRequest, expected: bytes) -> PublicKey:
    try:
        public_key = accepted_public_key(csr.public_key())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WeakKey("The public key of the certificate signing request cannot be read or is not supported") from error
    encoded = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    # Else the certificate would name another key than the request: a compressed point, other algorithm parameters.
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
    # The library answers no for any signature.
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


def _subject(csr: x509.CertificateSigningRequest, encoded: bytes) -> x509.Name | None:
    if encoded == _EMPTY_NAME:
        # RFC 5280, 4.1.2.6: a certificate without a subject needs a critical subjectAltName, which devices do not get.
        return None
    with odd_names_allowed():
        subject = csr.subject
    if subject.public_bytes() != encoded:
        raise SubjectRefused("The subject is not encoded in DER, so that it could not be copied unchanged")
    return subject
