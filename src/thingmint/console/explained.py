"""Owns the explanation of a certificate or a signing request: each part decoded, and its meaning.

A device or a caller chose the content, so nothing in it is trusted. A part that cannot be decoded says so.
"""

from collections.abc import Callable, Iterator

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import Struct

from thingmint.core.errors import InvalidRequest
from thingmint.issuance.encoding.odd_names import odd_names_allowed
from thingmint.issuance.encoding.parsing import READING_ERRORS, certificate_in_pem, request_in_pem
from thingmint.issuance.keys.subject_keys import subject_public_key

_MOST_EXTENSIONS = 50
_UNREADABLE = "cannot be read"
_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
_PURPOSES = {
    ExtendedKeyUsageOID.CLIENT_AUTH: "TLS client",
    ExtendedKeyUsageOID.SERVER_AUTH: "TLS server",
    ExtendedKeyUsageOID.CODE_SIGNING: "code signing",
    ExtendedKeyUsageOID.EMAIL_PROTECTION: "e-mail",
    ExtendedKeyUsageOID.OCSP_SIGNING: "OCSP",
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: "any",
}


class ExplainedPart(Struct, frozen=True):
    """One row: the name of a part, its value, and the meaning of the part."""

    name: str
    value: str
    meaning: str


def explain_certificate(pem: str) -> tuple[ExplainedPart, ...]:
    """Return the parts of a certificate in PEM, or one row that says that it cannot be read."""
    try:
        with odd_names_allowed():
            certificate = certificate_in_pem(pem.encode())
            return tuple(_certificate_parts(certificate))
    except ValueError:
        return (ExplainedPart("Certificate", _UNREADABLE, "The registry has the certificate as it was sent."),)


def explain_request(pem: str) -> tuple[ExplainedPart, ...]:
    """Return the parts of a certificate signing request in PEM; raise InvalidRequest if it cannot be read."""
    try:
        with odd_names_allowed():
            request = request_in_pem(pem.encode("utf-8", "replace"))
            return tuple(_request_parts(request))
    except ValueError as error:
        raise InvalidRequest("This is no certificate signing request in PEM form") from error


def _certificate_parts(certificate: x509.Certificate) -> Iterator[ExplainedPart]:
    yield ExplainedPart(
        "Subject",
        _name(lambda: certificate.subject),
        "The name in the certificate. Devices are identified by the certificate's id.",
    )
    yield ExplainedPart("Issuer", _name(lambda: certificate.issuer), "The authority that signed it.")
    serial = certificate.serial_number
    yield ExplainedPart("Serial number", f"{serial:x}", "Unique among the certificates of its issuer.")
    yield ExplainedPart(
        "Not before", f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC", "Before this time it is refused."
    )
    yield ExplainedPart(
        "Not after", f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC", "After this time it is refused."
    )
    yield ExplainedPart(
        "Public key",
        _read(lambda: _key(subject_public_key(certificate))),
        "The device proves that it has the private key.",
    )
    yield ExplainedPart("Signature", _read(lambda: _algorithm(certificate)), "How the issuer signed it.")
    digest = certificate.fingerprint(hashes.SHA256()).hex()
    yield ExplainedPart("SHA-256", digest, "The digest of the whole certificate, which is its id.")
    yield from _extension_parts(lambda: certificate.extensions)


def _request_parts(request: x509.CertificateSigningRequest) -> Iterator[ExplainedPart]:
    yield ExplainedPart("Subject", _name(lambda: request.subject), "The certificate gets this subject.")
    yield ExplainedPart(
        "Public key", _read(lambda: _key(subject_public_key(request))), "The certificate will be for this key."
    )
    is_valid = _read(lambda: _validity(request))
    yield ExplainedPart("Own signature", is_valid, "It proves that the sender has the private key.")
    for part in _extension_parts(lambda: request.extensions):
        yield ExplainedPart(
            part.name, part.value, "Requested. The certificate profile decides what the certificate gets."
        )


def _validity(request: x509.CertificateSigningRequest) -> str:
    # Refuses a kind of key that is not read, before the library reads it.
    subject_public_key(request)
    return "valid" if request.is_signature_valid else "not valid"


def _extension_parts(extensions: Callable[[], x509.Extensions]) -> Iterator[ExplainedPart]:
    try:
        found = list(extensions())
    except READING_ERRORS:
        yield ExplainedPart("Extensions", _UNREADABLE, "An extension is not formed as RFC 5280 says.")
        return
    for extension in found[:_MOST_EXTENSIONS]:
        name, meaning = _EXTENSIONS.get(type(extension.value), (extension.oid.dotted_string, "Not explained here."))
        critical = (
            " Critical: software that does not support it must refuse the certificate." if extension.critical else ""
        )
        yield ExplainedPart(name, _read(lambda extension=extension: _value(extension.value)), meaning + critical)  # type: ignore[misc] # mypy infers no such lambda


def _value(value: x509.ExtensionType) -> str:
    match value:
        case x509.BasicConstraints():
            return f"CA: {'yes' if value.ca else 'no'}"
        case x509.KeyUsage():
            return ", ".join(usage.replace("_", " ") for usage in _USAGES if getattr(value, usage)) or "none"
        case x509.ExtendedKeyUsage():
            return ", ".join(_PURPOSES.get(usage, usage.dotted_string) for usage in value)
        case x509.SubjectKeyIdentifier():
            return value.digest.hex()
        case x509.AuthorityKeyIdentifier():
            return "none" if value.key_identifier is None else value.key_identifier.hex()
        case x509.SubjectAlternativeName():
            return ", ".join(str(name.value) for name in value)
        case x509.UnrecognizedExtension():
            return value.value.hex()
        case _:
            return repr(value)


_EXTENSIONS: dict[type, tuple[str, str]] = {
    x509.BasicConstraints: ("Basic constraints", "Whether it may sign other certificates."),
    x509.KeyUsage: ("Key usage", "What the key may be used for."),
    x509.ExtendedKeyUsage: ("Extended key usage", "The purposes that the key may be used for."),
    x509.SubjectKeyIdentifier: ("Subject key identifier", "A digest of its own key."),
    x509.AuthorityKeyIdentifier: ("Authority key identifier", "The digest of the issuer's key."),
    x509.SubjectAlternativeName: ("Subject alternative name", "Other names of the certificate's owner."),
    x509.CRLDistributionPoints: ("CRL distribution points", "Where revoked certificates are listed."),
    x509.AuthorityInformationAccess: (
        "Authority information access",
        "Where the issuer's certificate and the OCSP responder are.",
    ),
    x509.CertificatePolicies: ("Certificate policies", "Under which rules it was issued."),
}


def _name(read: Callable[[], x509.Name]) -> str:
    return _read(lambda: read().rfc4514_string()) or "empty"


def _key(key: object) -> str:
    match key:
        case rsa.RSAPublicKey():
            return f"RSA, {key.key_size} bits"
        case ec.EllipticCurvePublicKey():
            return f"Elliptic curve {key.curve.name}"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case _:
            return type(key).__name__


def _algorithm(certificate: x509.Certificate) -> str:
    used = certificate.signature_hash_algorithm
    return certificate.signature_algorithm_oid.dotted_string if used is None else f"with {used.name.upper()}"


def _read(value: Callable[[], str]) -> str:
    """Return a value, or a text that says that it cannot be read: a foreign certificate may hold anything."""
    try:
        return value()
    except Exception:  # noqa: BLE001 - if the library cannot read this part, the others are shown
        return _UNREADABLE
