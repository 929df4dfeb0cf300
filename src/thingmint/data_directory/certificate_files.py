"""Owns the paths, reading and writing of authorities' certificates and private keys. Makes none."""

import contextlib
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from thingmint.data_directory.files import write_durably
from thingmint.issuance.encoding.parsing import certificates_in_pem
from thingmint.issuance.keys.key_pairs import WeakKey
from thingmint.issuance.keys.subject_keys import subject_public_key


class AuthorityUnusable(Exception):
    """A file of the data directory is missing or cannot be used; the message names it and says why."""


def key_path(data_dir: Path, name: str) -> Path:
    """Return the path of a private key."""
    return data_dir / "keys" / f"{name}.key"


def certificate_path(data_dir: Path, name: str) -> Path:
    """Return the path of a certificate."""
    return data_dir / "certificates" / f"{name}.pem"


def is_sealed(stored: bytes) -> bool:
    """Return whether a stored private key is encrypted with a passphrase."""
    return b"-----BEGIN PRIVATE KEY-----" not in stored and b"-----BEGIN RSA PRIVATE KEY-----" not in stored


def read_certificate(path: Path) -> x509.Certificate | None:
    """Return the first certificate of a file, None if there is no file; raise AuthorityUnusable if it has none."""
    try:
        return read_certificates(path)[0]
    except FileNotFoundError:
        return None


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Return all certificates of a file; raise AuthorityUnusable if it has none, OSError if it cannot be read."""
    return certificates_in(path.read_bytes(), path)


def certificates_in(content: bytes, path: Path) -> tuple[x509.Certificate, ...]:
    """Return all certificates of a file's content; raise AuthorityUnusable, which names the file, if it has none.

    Raises AuthorityUnusable also if the public key of one cannot be read.
    """
    try:
        certificates = tuple(certificates_in_pem(content))
    except ValueError as error:
        raise AuthorityUnusable(f"{path} holds no certificate") from error
    for each in certificates:
        try:
            subject_public_key(each)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise AuthorityUnusable(f"{path} holds a certificate whose public key cannot be read") from error
        except WeakKey as error:
            raise AuthorityUnusable(f"{path}: {error.message}") from error
    return certificates


def pem_of(*certificates: x509.Certificate) -> bytes:
    """Return the certificates as concatenated PEM."""
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def write_where_different(path: Path, content: bytes) -> None:
    """Write a public file unless it already has this content."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return
    write_durably(path, content, 0o644)
