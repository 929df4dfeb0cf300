"""Owns the parsing of certificates, signing requests and revocation lists by `cryptography`.

The library has an exception of its own for an unknown version, which is no ValueError. Here all bytes that cannot be
parsed raise ValueError. Names, keys and extensions are parsed later, when they are read, and raise `READING_ERRORS`.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

T = TypeVar("T")

READING_ERRORS: Final = (
    ValueError,
    TypeError,  # A name has a BIT STRING, or an attribute is not text.
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    UnsupportedAlgorithm,
)


def certificate_in_pem(content: bytes) -> x509.Certificate:
    """Return the first certificate in PEM; raise ValueError."""
    return _parsed(x509.load_pem_x509_certificate, content)


def certificates_in_pem(content: bytes) -> list[x509.Certificate]:
    """Return all certificates in PEM; raise ValueError, also if there is none."""
    return _parsed(x509.load_pem_x509_certificates, content)


def certificate_in_der(content: bytes) -> x509.Certificate:
    """Return a certificate; raise ValueError."""
    return _parsed(x509.load_der_x509_certificate, content)


def request_in_pem(content: bytes) -> x509.CertificateSigningRequest:
    """Return a certificate signing request in PEM; raise ValueError."""
    return _parsed(x509.load_pem_x509_csr, content)


def request_in_der(content: bytes) -> x509.CertificateSigningRequest:
    """Return a certificate signing request; raise ValueError."""
    return _parsed(x509.load_der_x509_csr, content)


def revocation_list_in_pem(content: bytes) -> x509.CertificateRevocationList:
    """Return a certificate revocation list in PEM; raise ValueError."""
    return _parsed(x509.load_pem_x509_crl, content)


def revocation_list_in_der(content: bytes) -> x509.CertificateRevocationList:
    """Return a certificate revocation list; raise ValueError."""
    return _parsed(x509.load_der_x509_crl, content)


def _parsed(parse: Callable[[bytes], T], content: bytes) -> T:
    try:
        return parse(content)
    except x509.InvalidVersion as error:
        raise ValueError("the version is not one that exists") from error
