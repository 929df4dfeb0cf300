"""Owns the encryption of private keys for a recipient: CMS EnvelopedData by `cryptography`, opened by OpenSSL as well.

A station that has only the recipient's certificate cannot decrypt the keys that it has written.
"""

from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.serialization import pkcs7

from thingmint.cli.devices.device import ListRefused
from thingmint.host.given_files import read_given
from thingmint.issuance.encoding.parsing import certificate_in_der, certificate_in_pem
from thingmint.issuance.keys.key_pairs import WeakKey
from thingmint.issuance.keys.subject_keys import subject_public_key


def read_recipient(path: Path) -> x509.Certificate:
    """Return the recipient's certificate, in PEM or DER; raise ListRefused if keys cannot be encrypted to it."""
    content = read_given(path)
    try:
        is_pem = b"-----BEGIN" in content
        certificate = certificate_in_pem(content) if is_pem else certificate_in_der(content)
        key = subject_public_key(certificate)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ListRefused(f"{path} is no certificate that can be read") from error
    except WeakKey as error:
        raise ListRefused(f"{path}: {error.message}") from error
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < 2048:
        # RFC 5652 also defines recipients with other keys; `cryptography` supports only RSA.
        raise ListRefused(f"{path}: the recipient's key must be RSA with 2048 bits or more")
    return certificate


def enveloped(secret: bytes, recipient: x509.Certificate) -> bytes:
    """Return the secret as CMS EnvelopedData in DER, AES-256-CBC (RFC 5652, 6; RFC 3565)."""
    return (
        pkcs7.PKCS7EnvelopeBuilder()
        .set_data(secret)
        .set_content_encryption_algorithm(algorithms.AES256)
        .add_recipient(recipient)
        .encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
    )


def opened(content: bytes, recipient: x509.Certificate, key: rsa.RSAPrivateKey) -> bytes:
    """Return the decrypted secret; raise ValueError if it was not encrypted to this recipient."""
    return pkcs7.pkcs7_decrypt_der(content, recipient, key, [])
