"""Owns the reading of private keys that somebody else may have written: kind and size before what takes long.

The library looks for factors of primes when it reads an RSA or Diffie-Hellman key, which takes minutes for long ones.
"""

import binascii
import re
from collections.abc import Callable

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from thingmint.issuance.encoding.der import children, only_element
from thingmint.issuance.keys.key_pairs import ACCEPTED, WeakKey, check_public_key
from thingmint.issuance.keys.throwaway_keys import IssuerKey

_CLEAR_PKCS8 = re.compile(rb"-----BEGIN PRIVATE KEY-----([^-]*)-----END PRIVATE KEY-----")
_SEQUENCE = 0x30
# The encoded OIDs of rsaEncryption and id-RSASSA-PSS (RFC 8017, C), and of id-ecPublicKey (RFC 5480, 2.1.1).
_KINDS = tuple(map(bytes.fromhex, ("06092a864886f70d010101", "06092a864886f70d01010a", "06072a8648ce3d0201")))


class KeyRefused(ValueError):
    """A private key has a kind or a size that is not accepted. The message has no part of the key."""


def private_key_in_pem(content: bytes, passphrase: bytes | None) -> IssuerKey:
    """Return the key of a PEM file, sealed or not.

    Raises KeyRefused, and what `serialization.load_pem_private_key` raises.
    """
    clear = _CLEAR_PKCS8.search(content)
    if clear is not None:
        _require_kind(binascii.a2b_base64(clear[1]))
    return _examined(
        lambda: serialization.load_pem_private_key(content, passphrase, unsafe_skip_rsa_key_validation=True)
    )


def private_key_in_der(content: bytes) -> IssuerKey:
    """Return the key of a DER file that is not sealed.

    Raises KeyRefused, and what `serialization.load_der_private_key` raises.
    """
    _require_kind(content)
    return _examined(lambda: serialization.load_der_private_key(content, None, unsafe_skip_rsa_key_validation=True))


def accepted_private_key(private_key: object) -> IssuerKey:
    """Return the key; raise KeyRefused unless a certificate's key may have its kind and size."""
    if not isinstance(private_key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise KeyRefused("the private key is neither RSA nor ECDSA")
    try:
        check_public_key(private_key.public_key())
    except WeakKey as error:
        raise KeyRefused(error.message) from None
    return private_key


def _require_kind(der: bytes) -> None:
    """Raise KeyRefused if a key in PKCS#8 (RFC 5958, 2) has another kind, ValueError if it is not DER.

    The other forms begin differently, and exist for accepted kinds only.
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
