"""Owns certificate signing requests for tests, good and bad; knows nothing of who reads them."""

import functools
from collections.abc import Callable
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

SigningKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_NEW_KEY: dict[str, Callable[[], SigningKey]] = {
    "rsa-1024": lambda: rsa.generate_private_key(65537, 1024),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa-4096": lambda: rsa.generate_private_key(65537, 4096),
    "p-224": lambda: ec.generate_private_key(ec.SECP224R1()),
    "p-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}

DEVICE = x509.Name(
    [
        x509.NameAttribute(x509.NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Beispielwerk Größe"),
        x509.NameAttribute(x509.NameOID.COMMON_NAME, "sensor 0001"),
    ]
)


@functools.cache
def key_of(kind: str) -> SigningKey:
    """Return the one key of this kind that all tests share: RSA keys take long to make."""
    return _NEW_KEY[kind]()


def csr_pem(kind: str, subject: x509.Name = DEVICE) -> str:
    """Return a signing request with a key of the kind."""
    return _pem(_signed(key_of(kind), subject))


def csr_pem_with_extensions(kind: str) -> str:
    """Return a signing request that asks to become a CA and a server."""
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(DEVICE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return _pem(builder.sign(key_of(kind), hashes.SHA256()))


def csr_pem_with_bad_signature(kind: str) -> str:
    """Return a signing request whose signature is another's: one bit differs."""
    der = bytearray(_signed(key_of(kind), DEVICE).public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return _pem(x509.load_der_x509_csr(bytes(der)))


def _signed(key: SigningKey, subject: x509.Name) -> x509.CertificateSigningRequest:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, algorithm)


def _pem(request: x509.CertificateSigningRequest) -> str:
    return request.public_bytes(serialization.Encoding.PEM).decode("ascii")
