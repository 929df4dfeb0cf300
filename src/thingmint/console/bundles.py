"""Owns the files in which a new device identity is downloaded: PEM, PKCS#12 and zip. Stores none of them."""

import contextlib
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from thingmint.core.errors import InvalidRequest
from thingmint.issuance.encoding.parsing import certificate_in_pem, certificates_in_pem
from thingmint.issuance.keys.subject_keys import subject_public_key

SHORTEST_PASSPHRASE: Final = 8
_LONGEST_PASSPHRASE: Final = 256
_PKCS1: Final = "-----BEGIN RSA PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class NewIdentity:
    """A certificate and its private key, in PEM, and the authorities above it."""

    certificate_pem: str
    private_key_pem: str = field(repr=False)
    authorities_pem: str


@dataclass(frozen=True, slots=True)
class Download:
    """A file as a browser stores it."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


def issuer_above(certificate_pem: str, authorities: Iterable[str]) -> str:
    """Return the authority that signed the certificate, in PEM; an empty text if none of the authorities did."""
    try:
        certificate = certificate_in_pem(certificate_pem.encode())
    except ValueError:
        return ""
    for pem in authorities:
        with contextlib.suppress(ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            certificate.verify_directly_issued_by(certificate_in_pem(pem.encode()))
            return pem
    return ""


def as_pem(identity: NewIdentity, name: str) -> Download:
    """Return private key and certificate in one file."""
    text = identity.private_key_pem + identity.certificate_pem
    return Download(f"{name}.pem", "application/x-pem-file", text.encode())


def as_zip(identity: NewIdentity, name: str) -> Download:
    """Return private key, certificate and authorities as files of an archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.key", identity.private_key_pem)
        archive.writestr(f"{name}.pem", identity.certificate_pem)
        archive.writestr("device-ca.pem", identity.authorities_pem)
    return Download(f"{name}.zip", "application/zip", buffer.getvalue())


def as_pkcs12(identity: NewIdentity, name: str, passphrase: str) -> Download:
    """Return the identity in PKCS#12 (RFC 7292), encrypted; raise InvalidRequest for a short passphrase."""
    if not SHORTEST_PASSPHRASE <= len(passphrase) <= _LONGEST_PASSPHRASE:
        raise InvalidRequest(f"The passphrase has {SHORTEST_PASSPHRASE} to {_LONGEST_PASSPHRASE} characters")
    try:
        certificate = certificate_in_pem(identity.certificate_pem.encode())
        subject_public_key(certificate)
        key = _key_of_page(identity.private_key_pem)
        authorities = certificates_in_pem(identity.authorities_pem.encode())
        content = pkcs12.serialize_key_and_certificates(
            name.encode(),
            key,
            certificate,
            authorities,
            serialization.BestAvailableEncryption(passphrase.encode()),
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidRequest("The private key and the certificate cannot be read") from error
    return Download(f"{name}.p12", "application/x-pkcs12", content)


def _key_of_page(private_key_pem: str) -> rsa.RSAPrivateKey:
    """Return the key in the form in which the service makes keys (PKCS#1); raise ValueError or TypeError otherwise.

    The library's checks of other forms, and of the primes of a long key, can take minutes. They are not needed: the key
    is only copied, and PKCS#12 is not made if it is not the certificate's.
    """
    if not private_key_pem.startswith(_PKCS1):
        raise ValueError("not a private key of the service")
    key = serialization.load_pem_private_key(private_key_pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, rsa.RSAPrivateKey), "PKCS#1 has RSA keys only"
    return key
