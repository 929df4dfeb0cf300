"""Owns the reading of private keys that somebody else may have written: kind and size before what takes long.

The library looks for factors of primes when it reads an RSA or Diffie-Hellman key, which takes minutes for long ones.
"""

import binascii
import re
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from thingmint.issuance.encoding.der import children, only_element
from thingmint.issuance.keys.derivation_work import rounds_of_pkcs8, rounds_of_pkcs12
from thingmint.issuance.keys.key_pairs import ACCEPTED, WeakKey, check_public_key
from thingmint.issuance.keys.throwaway_keys import IssuerKey

_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]*PRIVATE KEY)-----(.*?)-----END \1-----", re.DOTALL)
_PKCS8 = (b"PRIVATE KEY", b"ENCRYPTED PRIVATE KEY")
# About five seconds. OpenSSL writes 2,048 rounds. A key that the service seals has 600,000 for each of three parts.
_MOST_ROUNDS = 10_000_000
_OF_ONE_KIND = (b"RSA PRIVATE KEY", b"EC PRIVATE KEY")
_SEQUENCE = 0x30
# The encoded OIDs of rsaEncryption and id-RSASSA-PSS (RFC 8017, C), and of id-ecPublicKey (RFC 5480, 2.1.1).
_KINDS = tuple(map(bytes.fromhex, ("06092a864886f70d010101", "06092a864886f70d01010a", "06072a8648ce3d0201")))


class KeyRefused(ValueError):
    """A private key has a kind, a size or a sealing that is not accepted. The message has no part of the key."""


def private_key_in_pem(content: bytes, passphrase: bytes | None) -> IssuerKey:
    """Return the key of the first block with a private key in a PEM file, sealed or not.

    Raises KeyRefused, and what `serialization.load_pem_private_key` raises.
    """
    block = _BLOCK.search(content)
    if block is None:
        raise ValueError("the file holds no private key in PEM")
    label = block[1]
    if label in _OF_ONE_KIND:
        return _examined(
            lambda: serialization.load_pem_private_key(block[0], passphrase, unsafe_skip_rsa_key_validation=True)
        )
    if label not in _PKCS8:
        raise KeyRefused(f"the private key is neither RSA nor ECDSA; accepted are {ACCEPTED}")
    # The library gets the bytes that were checked, and no text, of which it may read another part.
    der = binascii.a2b_base64(b"".join(block[2].split()), strict_mode=True)
    _require_kind(der)
    # Without a passphrase, the library derives no key.
    if passphrase is not None:
        _require_limited(rounds_of_pkcs8(der))
    return _examined(lambda: serialization.load_der_private_key(der, passphrase, unsafe_skip_rsa_key_validation=True))


def private_key_in_der(content: bytes) -> IssuerKey:
    """Return the key of a DER file that is not sealed.

    Raises KeyRefused, and what `serialization.load_der_private_key` raises.
    """
    _require_kind(content)
    return _examined(lambda: serialization.load_der_private_key(content, None, unsafe_skip_rsa_key_validation=True))


def key_and_certificate_in_pkcs12(
    content: bytes, passphrase: bytes
) -> tuple[IssuerKey | None, x509.Certificate | None]:
    """Return the key and its certificate of a file in PKCS#12, None where it has none.

    Raises KeyRefused, and what `pkcs12.load_key_and_certificates` raises.
    """
    _require_limited(rounds_of_pkcs12(content))
    key, certificate, _ = pkcs12.load_key_and_certificates(content, passphrase)
    return None if key is None else accepted_private_key(key), certificate


def accepted_private_key(private_key: object) -> IssuerKey:
    """Return the key; raise KeyRefused unless a certificate's key may have its kind and size."""
    if not isinstance(private_key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise KeyRefused("the private key is neither RSA nor ECDSA")
    try:
        check_public_key(private_key.public_key())
    except WeakKey as error:
        raise KeyRefused(error.message) from None
    return private_key


def _require_limited(rounds: int) -> None:
    if rounds > _MOST_ROUNDS:
        raise KeyRefused(f"the private key is sealed with more than {_MOST_ROUNDS:,} rounds of key derivation")


def _require_kind(der: bytes) -> None:
    """Raise KeyRefused if a key in PKCS#8 (RFC 5958, 2) has another kind, ValueError if it is not DER.

    The other forms begin differently, and are read fast.
    """
    parts = children(der, only_element(der))
    if len(parts) > 2 and parts[1].tag == _SEQUENCE and not der.startswith(_KINDS, parts[1].content):
        raise KeyRefused(f"the private key is neither RSA nor ECDSA; accepted are {ACCEPTED}")


def _examined(load: Callable[[], object]) -> IssuerKey:
    private_key = accepted_private_key(load())
    if isinstance(private_key, rsa.RSAPrivateKey):
        # The library's examination, which the first reading has left out.
        return private_key.private_numbers().private_key()
    return private_key
