"""Owns the stored form of the service's own private keys. Independent of the place. Never handles device keys.

An unencrypted key is PKCS#8 PEM. A key sealed with a passphrase is PKCS#12 without a certificate. Of the standard forms
that `cryptography` writes, only this one can have an expensive key derivation (encrypted PKCS#8 has 2,048 rounds).
"""

from collections.abc import Callable
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from thingmint.core.error_text import reason_of
from thingmint.issuance.keys.key_reading import (
    KeyRefused,
    accepted_private_key,
    key_and_certificate_in_pkcs12,
    private_key_in_pem,
)

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# OWASP's number for PBKDF2 with SHA-256. A guess takes 0.1 s, and so does each key at the start of the service.
_KDF_ROUNDS = 600_000
_PEM_START = b"-----BEGIN"

# The kinds of keys that the service's authorities may have, by the names of the setting `ca_key_type`.
KEY_TYPES: dict[str, Callable[[], PrivateKey]] = {
    "ecdsa-p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
    "rsa-4096": lambda: rsa.generate_private_key(65537, 4096),
}


class PrivateKeyError(ValueError):
    """A stored private key cannot be used. Messages have no part of a key or a passphrase."""


class PrivateKeyUnreadable(PrivateKeyError):
    """The bytes are not a private key of a kind that the service uses."""


class PassphraseMissing(PrivateKeyError):
    """The private key is sealed, and no passphrase was given."""


class PassphraseWrong(PrivateKeyError):
    """The passphrase does not open the private key, or the sealed key is damaged."""


class PassphraseUnused(PrivateKeyError):
    """A passphrase was given, but the private key is not encrypted."""


class PassphraseRefused(PrivateKeyError):
    """A passphrase is empty, not UTF-8, or has a NUL."""


def generate_private_key(key_type: str) -> PrivateKey:
    """Return a new key of a type of `KEY_TYPES`; raise ValueError if there is no such type."""
    if key_type not in KEY_TYPES:
        raise ValueError(f"there is no key type {key_type!r}; there are {', '.join(KEY_TYPES)}")
    return KEY_TYPES[key_type]()


def dump_private_key(private_key: PrivateKey, passphrase: bytes | None) -> bytes:
    """Return the key as PKCS#8 PEM, or sealed as PKCS#12 if there is a passphrase.

    Raises PassphraseRefused if the passphrase is empty, not UTF-8, or has a NUL.
    """
    if passphrase is None:
        return private_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    check_passphrase(passphrase)
    encryption = (
        serialization.PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(_KDF_ROUNDS)
        .key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
        .hmac_hash(hashes.SHA256())
        .build(passphrase)
    )
    return pkcs12.serialize_key_and_certificates(None, private_key, None, None, encryption)


def load_private_key(stored: bytes, passphrase: bytes | None) -> PrivateKey:
    """Return the private key that `dump_private_key` wrote, or one in PEM from elsewhere, sealed or not.

    Raises PassphraseMissing, PassphraseWrong, PassphraseUnused, PassphraseRefused or PrivateKeyUnreadable.
    """
    if passphrase is not None:
        check_passphrase(passphrase)
    try:
        return _load_pem(stored, passphrase) if _PEM_START in stored else _load_pkcs12(stored, passphrase)
    except KeyRefused as error:
        raise PrivateKeyUnreadable(reason_of(error)) from error


def _load_pem(stored: bytes, passphrase: bytes | None) -> PrivateKey:
    try:
        return private_key_in_pem(stored, passphrase)
    except KeyRefused:
        raise
    except TypeError as error:
        if passphrase is None:
            raise PassphraseMissing("the private key is sealed, and no passphrase was given") from error
        raise PassphraseUnused("the private key lies in the clear, and a passphrase was given") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unreadable(passphrase) from error


def _load_pkcs12(stored: bytes, passphrase: bytes | None) -> PrivateKey:
    if passphrase is None:
        # PKCS#12 is a SEQUENCE. Other content is not a key.
        if stored.startswith(b"\x30"):
            raise PassphraseMissing("the private key is sealed, and no passphrase was given")
        raise _unreadable(passphrase)
    try:
        private_key, _ = key_and_certificate_in_pkcs12(stored, passphrase)
    except KeyRefused:
        raise
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unreadable(passphrase) from error
    return accepted_private_key(private_key)


def _unreadable(passphrase: bytes | None) -> PrivateKeyError:
    if passphrase is None:
        return PrivateKeyUnreadable("the file holds no private key that can be read")
    return PassphraseWrong("the passphrase does not open the private key, or the file is damaged")


def check_passphrase(passphrase: bytes) -> None:
    """Raise PassphraseRefused if a passphrase is empty, not UTF-8, or has a NUL, which PKCS#12 cannot represent."""
    try:
        text = passphrase.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PassphraseRefused("the passphrase is not UTF-8") from error
    if not text or "\0" in text:
        raise PassphraseRefused("the passphrase is empty or has a NUL")
