"""Owns the check that a foreign certificate may be used by a TLS client, and its CA for such certificates.

An operator can register a certificate for any use. These rules are for certificates that devices register at their
first connection: if a CA also signs web servers, they must not become devices.
"""

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from thingmint.core.errors import CertificateInvalid
from thingmint.issuance.foreign.certificate import ForeignCertificate
from thingmint.issuance.foreign.user_ca import ensure_processed, extensions_of, value_of

# RFC 5280, 4.2.1.12: anyExtendedKeyUsage is for a CA that does not restrict the use of the key.
_CLIENT_USAGES = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE})


def ensure_usable_by_client(certificate: ForeignCertificate) -> None:
    """Raise CertificateInvalid if RFC 5280 forbids that a TLS client uses the certificate.

    The cases: a critical extension that is not processed (4.2), a CA certificate (4.2.1.9), a key usage without
    digitalSignature (4.2.1.3), an extended key usage without clientAuth (4.2.1.12).
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
    """Raise CertificateInvalid if the CA's certificates must not be used by TLS clients, or only after more checks.

    Name constraints, critical or not, are not processed, so devices of such a CA cannot register themselves.
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
