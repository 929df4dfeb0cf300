"""Owns throwaway keys. With them `cryptography` encodes structures that another key signs later."""

import functools
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, rsa

IssuerKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# The signed part names the signature algorithm, which is the same for keys of any size and any curve. So the fastest
# keys are used.
_RSA_BITS = 1024


def throwaway_key_like(public_key: object) -> IssuerKey:
    """Return a key that signs with the same algorithms as the key of this public key."""
    return _rsa_key() if isinstance(public_key, rsa.RSAPublicKey) else throwaway_key()


@functools.cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, _RSA_BITS)


@functools.cache
def throwaway_key() -> ec.EllipticCurvePrivateKey:
    """Return the fastest such key."""
    return ec.generate_private_key(ec.SECP256R1())
