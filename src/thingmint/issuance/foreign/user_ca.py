"""Owns the check of users' CA certificates, and of signatures of these CAs. Reads no registry or clock."""

from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtensionOID

from thingmint.core.errors import CertificateInvalid
from thingmint.issuance.encoding.der import children, only_element
from thingmint.issuance.encoding.odd_names import odd_names_allowed
from thingmint.issuance.encoding.parsing import READING_ERRORS
from thingmint.issuance.foreign.certificate import ForeignCertificate, ensure_accepted_signature

ExtensionValue = TypeVar("ExtensionValue", bound=x509.ExtensionType)

# RFC 5280, 4.1.2.6: an issuer must have a name. This is the encoding of an empty name.
_EMPTY_NAME = b"\x30\x00"
_COMMON_NAME = b"\x55\x04\x03"

# RFC 5280, 4.2: a critical extension that is not processed makes the certificate unusable. These are processed, or do
# not concern the signing of device certificates.
_PROCESSED = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_KEY_IDENTIFIER,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.ISSUER_ALTERNATIVE_NAME,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.CRL_DISTRIBUTION_POINTS,
    }
)


def ensure_ca(certificate: ForeignCertificate) -> None:
    """Raise CertificateInvalid unless the certificate is a CA certificate.

    Its own signature is not verified, because its registration makes it trusted (RFC 5280, 6.1.1 d). A key usage
    without keyCertSign is accepted, as at AWS; `lacks_cert_sign` finds it.
    """
    if certificate.subject == _EMPTY_NAME:
        raise CertificateInvalid(f"The {certificate.what} has no subject")
    extensions = extensions_of(certificate)
    constraints = value_of(extensions, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise CertificateInvalid(f"The {certificate.what} is not a CA's: its basic constraints do not say CA:TRUE")
    ensure_processed(certificate, extensions)


def lacks_cert_sign(certificate: ForeignCertificate) -> bool:
    """Return whether the CA certificate has a key usage without keyCertSign, which RFC 5280, 4.2.1.3 forbids."""
    usage = value_of(extensions_of(certificate), x509.KeyUsage)
    return usage is not None and not usage.key_cert_sign


def ensure_issued_by(certificate: ForeignCertificate, ca_certificate: ForeignCertificate) -> None:
    """Raise CertificateInvalid unless the certificate names the CA as its issuer and is signed with the CA's key."""
    ensure_accepted_signature(certificate)
    try:
        with odd_names_allowed():
            certificate.parsed.verify_directly_issued_by(ca_certificate.parsed)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise CertificateInvalid(f"The {certificate.what} is not signed by the {ca_certificate.what}") from error


def is_issued_by(certificate: ForeignCertificate, ca_certificate: ForeignCertificate) -> bool:
    """Return whether the certificate names the CA as its issuer and is signed with the CA's key."""
    try:
        ensure_issued_by(certificate, ca_certificate)
    except CertificateInvalid:
        return False
    return True


def carries_code(verification: ForeignCertificate, code: str) -> bool:
    """Return whether the only common name of the verification certificate is the code.

    Together with the CA's signature this proves that the caller, which got the code, has the CA's key.
    """
    return _common_names(verification) == [code.encode()]


def extensions_of(certificate: ForeignCertificate) -> x509.Extensions:
    """Return the extensions of the certificate; raise CertificateInvalid if they cannot be parsed."""
    with odd_names_allowed():
        try:
            return certificate.parsed.extensions
        except READING_ERRORS as error:
            raise CertificateInvalid(f"The extensions of the {certificate.what} cannot be read") from error


def value_of(extensions: x509.Extensions, kind: type[ExtensionValue]) -> ExtensionValue | None:
    """Return the extension of this kind, or None."""
    return next((extension.value for extension in extensions if isinstance(extension.value, kind)), None)


def ensure_processed(certificate: ForeignCertificate, extensions: x509.Extensions) -> None:
    """Raise CertificateInvalid if a critical extension is not processed (RFC 5280, 4.2)."""
    for extension in extensions:
        if extension.critical and extension.oid not in _PROCESSED:
            raise CertificateInvalid(
                f"The {certificate.what} has the critical extension {extension.oid.dotted_string}, which is not "
                "processed"
            )


def _common_names(certificate: ForeignCertificate) -> list[bytes]:
    # Compared as octets: the code is hexadecimal and has the same octets in every string type that a tool would use.
    der = certificate.subject
    return [
        der[value.content : value.end]
        for relative_name in children(der, only_element(der))
        for attribute in children(der, relative_name)
        for kind, value in [children(der, attribute)]
        if der[kind.content : kind.end] == _COMMON_NAME
    ]
