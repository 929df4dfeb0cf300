"""Owns whether a foreign certificate may be used by a TLS client, and its CA's for such; knows no registry, no clock.

An operator may register a certificate for any use. These rules are for what registers itself: a CA that signs
web servers, too, must not make every one of them a device.
"""

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from thingmint.core.errors import CertificateInvalid
from thingmint.issuance.foreign.certificate import ForeignCertificate
from thingmint.issuance.foreign.user_ca import ensure_processed, extensions_of, value_of

# RFC 5280, 4.2.1.12: any usage is what a CA says that does not restrict the key.
_CLIENT_USAGES = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})


def ensure_usable_by_client(certificate: ForeignCertificate) -> None:
    """Raise CertificateInvalid if RFC 5280 forbids that a TLS client uses the certificate.

    That is one with a critical extension that is not processed (4.2), of a CA (4.2.1.9), whose key usage lacks
    digitalSignature (4.2.1.3), or whose extended key usage lacks clientAuth (4.2.1.12).
    """
    extensions = extensions_of(certificate)
    ensure_processed(certificate, extensions)
    constraints, usage = value_of(extensions, x509.BasicConstraints), value_of(extensions, x509.KeyUsage)
    if constraints is not None and constraints.ca:
        raise CertificateInvalid(f"The {certificate.what} is a CA's: its basic constraints say CA:TRUE")
    if usage is not None and not usage.digital_signature:
        raise CertificateInvalid(f"The key usage of the {certificate.what} lacks digitalSignature")
    _ensure_client_auth(certificate, extensions)


def ensure_ca_of_clients(ca_certificate: ForeignCertificate) -> None:
    """Raise CertificateInvalid if what the CA signs must not be used by a TLS client, or not without more checks.

    Name constraints are not processed here, critical or not, so that nothing registers itself under such a CA.
    """
    extensions = extensions_of(ca_certificate)
    ensure_processed(ca_certificate, extensions)
    if value_of(extensions, x509.NameConstraints) is not None:
        raise CertificateInvalid(f"The {ca_certificate.what} has name constraints, which are not processed")
    _ensure_client_auth(ca_certificate, extensions)


def _ensure_client_auth(certificate: ForeignCertificate, extensions: x509.Extensions) -> None:
    usages = value_of(extensions, x509.ExtendedKeyUsage)
    if usages is not None and not _CLIENT_USAGES & frozenset(usages):
        raise CertificateInvalid(f"The extended key usage of the {certificate.what} lacks clientAuth")
