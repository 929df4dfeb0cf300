"""Owns the signing request of an issuer to another authority, and the issuance of the issuer's certificate.

The key may never leave its token, so the request is built with the public key and signed by the signer.
"""

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit, require_issuer_key
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority, create_issuing_ca, issuing_ca_name
from thingmint.issuance.encoding.der import with_signature
from thingmint.issuance.encoding.parsing import request_in_der, request_in_pem
from thingmint.issuance.keys.key_pairs import PublicKey, WeakKey
from thingmint.issuance.keys.signer import Signer
from thingmint.issuance.keys.subject_keys import subject_public_key
from thingmint.issuance.profiles.public_addresses import PublicAddresses

MOST_BYTES = 65_536
_HASH = hashes.SHA256()


def issuer_subject(public_key: PublicKey, text: str | None) -> x509.Name:
    """Return the subject of a text like `CN=…,O=…`, or the usual one; raise IssuerUnfit for an invalid text."""
    if text is None:
        return issuing_ca_name(public_key)
    try:
        subject = x509.Name.from_rfc4514_string(text)
    except (ValueError, KeyError) as error:
        raise IssuerUnfit(f"the subject must be written like 'CN=Devices 2,O=Example', not {text!r}") from error
    if not subject.rdns:
        raise IssuerUnfit("the subject must not be empty")
    return subject


async def issuer_request(signer: Signer, subject: x509.Name) -> bytes:
    """Return a PKCS#10 request as PEM (RFC 2986); raise ServiceUnavailable if the key cannot be used now."""
    public_key = signer.public_key
    # A request with a key of the same kind and size has the same layout.
    stand_in: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if isinstance(public_key, rsa.RSAPublicKey):
        stand_in = rsa.generate_private_key(65537, public_key.key_size)
    else:
        stand_in = ec.generate_private_key(public_key.curve)
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(stand_in, _HASH)
    der = request.public_bytes(serialization.Encoding.DER)
    der = der.replace(_encoded(stand_in.public_key()), _encoded(public_key), 1)
    content = request_in_der(der).tbs_certrequest_bytes
    signed = request_in_der(with_signature(der, await signer.sign(content, _HASH)))
    if signed.public_key() != public_key or not signed.is_signature_valid:
        raise ServiceUnavailable("The issuer's signer returned a signature that does not verify")
    return signed.public_bytes(serialization.Encoding.PEM)


def sign_issuer_request(
    root: CertificateAuthority,
    text: bytes,
    serial_number: SerialNumber,
    at: datetime,
    end: datetime | None,
    addresses: PublicAddresses | None = None,
) -> x509.Certificate:
    """Return the certificate of an issuer below this root. It expires with the root or earlier.

    ``addresses`` are those of the root: of its list, its certificate and its OCSP responder. Extensions of the request
    are not copied, because the root's operator knows these addresses. Raises IssuerUnfit if the request or the root
    cannot be used.
    """
    if len(text) > MOST_BYTES:
        raise IssuerUnfit(f"the request is longer than {MOST_BYTES} bytes")
    try:
        request = request_in_pem(text)
        public_key = subject_public_key(request)
        subject, is_valid = request.subject, request.is_signature_valid
    except (
        ValueError,
        TypeError,
        InvalidSignature,
        UnsupportedAlgorithm,
    ) as error:  # TypeError: a BIT STRING in a name
        raise IssuerUnfit("the file holds no certificate signing request in PEM that can be read") from error
    except WeakKey as error:
        raise IssuerUnfit(error.message) from error
    if not is_valid:
        raise IssuerUnfit("the request's signature does not verify")
    if not isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) or not subject.rdns:
        raise IssuerUnfit("the request has no subject, or its key is neither RSA nor ECDSA")
    require_issuer_key(public_key)
    require_root(root.certificate, at)
    if end is not None and end <= at:
        raise IssuerUnfit("the issuer would end before it begins")
    return create_issuing_ca(root, public_key, serial_number, at, subject=subject, end=end, addresses=addresses)


def require_root(root: x509.Certificate, at: datetime) -> None:
    """Raise IssuerUnfit unless the authority may certify an issuer at this time."""
    if not root.not_valid_before_utc <= at <= root.not_valid_after_utc:
        raise IssuerUnfit(f"{root.subject.rfc4514_string()} is not valid now: it may be the clock that is wrong")
    try:
        constraints = root.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = root.extensions.get_extension_for_class(x509.KeyUsage).value
        root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise IssuerUnfit("the root's certificate lacks an extension that every CA's has") from error
    if not constraints.ca or not usage.key_cert_sign or constraints.path_length == 0:
        raise IssuerUnfit("the root's certificate may not certify an authority below it")


def _encoded(public_key: PublicKey) -> bytes:
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
