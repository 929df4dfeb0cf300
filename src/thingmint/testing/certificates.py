"""Owns keys, CSRs and certificates that tests make themselves, without the service."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

EXPIRED_FOR = timedelta(days=1)
_LASTED = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A P-256 key; its PEM is not in the repr."""

    private_key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> str:
        """The private key, PKCS #8, not encrypted."""
        return self.private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def signing_request(self, common_name: str) -> str:
        """Return a certificate signing request in PEM."""
        request = x509.CertificateSigningRequestBuilder().subject_name(_named(common_name))
        return request.sign(self.private_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def new_key_pair() -> KeyPair:
    """Return a new key pair."""
    return KeyPair(ec.generate_private_key(ec.SECP256R1()))


def foreign_certificate(keys: KeyPair, common_name: str, *, expired: bool = False) -> str:
    """Return a device certificate in PEM from an unregistered CA; an expired one ended a day ago."""
    issuer = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    not_after = now - EXPIRED_FOR if expired else now + _LASTED
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_named(common_name))
        .issuer_name(_named("A CA of somebody else"))
        .public_key(keys.private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_after - _LASTED - EXPIRED_FOR)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(issuer, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def write_private(path: Path, text: str) -> Path:
    """Write a file that only its owner can read, and return its path."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
    return path


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
