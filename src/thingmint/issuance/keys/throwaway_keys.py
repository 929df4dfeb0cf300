"""Owns keys whose signatures nobody sees: they let `cryptography` encode what another key is to sign."""

import functools
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, rsa

IssuerKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

# The signature algorithm, which the signed part names, is the same for keys of any size and any curve; the fastest ones
# cost the least.
_RSA_BITS = 1024


def throwaway_key_like(public_key: object) -> IssuerKey:
    """Return a key that signs with the same algorithms as the one of this public key."""
    return _rsa_key() if isinstance(public_key, rsa.RSAPublicKey) else throwaway_key()


@functools.cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, _RSA_BITS)


@functools.cache
def throwaway_key() -> ec.EllipticCurvePrivateKey:
    """Return the fastest such key."""
    return ec.generate_private_key(ec.SECP256R1())
