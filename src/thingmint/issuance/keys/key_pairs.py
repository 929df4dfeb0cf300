"""Owns the generation of devices' key pairs, and the acceptance of public keys. Independent of certificates.

Key workers import this module when they start, so it imports few modules.
"""

import math
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from thingmint.core.errors import InvalidRequest
from thingmint.issuance.encoding import pem
from thingmint.issuance.keys import weak_keys

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

_GENERATED_BITS = 2048
_PUBLIC_EXPONENT = 65537
_SIGNED_FOR_TEST = b"pairwise consistency test"
_SMALLEST_MODULUS_BITS, _LARGEST_MODULUS_BITS = 2048, 4096
# CA/Browser Forum baseline requirements, 6.1.6: between 2^16 + 1 and 2^256 - 1, and odd.
_EXPONENTS = range(65537, 1 << 256)
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
ACCEPTED = "RSA keys of 2048 to 4096 bits and ECDSA keys on P-256, P-384 or P-521"


class WeakKey(InvalidRequest):
    """A public key has a kind or size that is not accepted, or belongs to a known weak class."""


class DefectiveKeyPair(Exception):
    """A generated key pair fails a check of FIPS 186-5. Neither the key pair nor its generator must be used."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair for one caller: SubjectPublicKeyInfo DER, and PKCS#1 PEM, which the repr does not show."""

    public_key_der: bytes
    private_key_pem: bytes = field(repr=False)


def as_pkcs8(key_pair: KeyPair) -> bytes:
    """Return the private key in PKCS#8 (RFC 5958), in DER."""
    private_key = serialization.load_pem_private_key(
        key_pair.private_key_pem,
        None,
        unsafe_skip_rsa_key_validation=True,  # It was checked when it was made.
    )
    return private_key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def generate_key_pair() -> KeyPair:
    """Return a new RSA-2048 key pair; raise DefectiveKeyPair if its numbers break a rule of FIPS 186-5."""
    private_key = rsa.generate_private_key(_PUBLIC_EXPONENT, _GENERATED_BITS)
    check_private_numbers(private_key.private_numbers())
    return _encoded(private_key)


def key_pair_of_primes(first: int, second: int) -> KeyPair:
    """Return the RSA-2048 key pair of two primes of 1024 bits that the caller has found.

    Raises DefectiveKeyPair if its numbers break a rule of FIPS 186-5, or if OpenSSL does not verify a signature of the
    private key with the public key, which happens if one of the numbers is not prime.
    """
    try:
        private_key = _private_key_of(max(first, second), min(first, second))
        _check_pairwise(private_key)
    except (ValueError, InvalidSignature, InternalError) as error:
        # The cause is left out, because it may quote a number.
        raise DefectiveKeyPair(f"the key pair does not work ({type(error).__name__})") from None
    return _encoded(private_key)


def _private_key_of(p: int, q: int) -> rsa.RSAPrivateKey:
    d = pow(_PUBLIC_EXPONENT, -1, math.lcm(p - 1, q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=d % (p - 1),
        dmq1=d % (q - 1),
        iqmp=pow(q, -1, p),
        public_numbers=rsa.RSAPublicNumbers(_PUBLIC_EXPONENT, p * q),
    )
    check_private_numbers(numbers)
    # OpenSSL's validation takes as long as a generation. The pairwise test also finds numbers that are not prime.
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _check_pairwise(private_key: rsa.RSAPrivateKey) -> None:
    """Raise InvalidSignature unless the public key verifies a signature of the private key."""
    signature = private_key.sign(_SIGNED_FOR_TEST, padding.PKCS1v15(), hashes.SHA256())
    private_key.public_key().verify(signature, _SIGNED_FOR_TEST, padding.PKCS1v15(), hashes.SHA256())


def _encoded(private_key: rsa.RSAPrivateKey) -> KeyPair:
    return KeyPair(
        public_key_der=private_key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        private_key_pem=private_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ),
    )


def check_private_numbers(numbers: rsa.RSAPrivateNumbers) -> None:
    """Raise DefectiveKeyPair unless the numbers of an RSA-2048 key follow the rules of FIPS 186-5, A.1.1."""
    p, q, d = numbers.p, numbers.q, numbers.d
    n, e = numbers.public_numbers.n, numbers.public_numbers.e
    order = math.lcm(p - 1, q - 1)
    # No message has a number of the key, because messages are logged.
    if n != p * q or n.bit_length() != _GENERATED_BITS:
        raise DefectiveKeyPair("the modulus is not the product of the primes, or not of 2048 bits")
    if e != _PUBLIC_EXPONENT:
        raise DefectiveKeyPair("the public exponent is not 65537")
    # p, q >= sqrt(2) * 2^1023, squared.
    if min(p, q) ** 2 < 1 << (_GENERATED_BITS - 1):
        raise DefectiveKeyPair("a prime is too small")
    if abs(p - q) <= 1 << (_GENERATED_BITS // 2 - 100):
        raise DefectiveKeyPair("the primes are too close")
    if not 1 << (_GENERATED_BITS // 2) < d < order or d * e % order != 1:
        raise DefectiveKeyPair("the private exponent is too small, or not the inverse of the public exponent")


def check_public_key(public_key: object) -> None:
    """Raise WeakKey unless the key has an accepted kind and size and belongs to no known weak class."""
    if isinstance(public_key, rsa.RSAPublicKey):
        _check_rsa(public_key.public_numbers())
    elif isinstance(public_key, ec.EllipticCurvePublicKey):
        _check_ec(public_key)
    else:
        kind = type(public_key).__name__.removesuffix("PublicKey")
        raise WeakKey(f"The public key is of the kind {kind}; accepted are {ACCEPTED}")


def load_public_key(der: bytes) -> PublicKey:
    """Return the public key of a SubjectPublicKeyInfo; raise WeakKey if it cannot be parsed or is not accepted."""
    try:
        public_key = serialization.load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WeakKey(f"The public key cannot be read; accepted are {ACCEPTED}") from error
    return accepted_public_key(public_key)


def accepted_public_key(public_key: object) -> PublicKey:
    """Return the key after its check; raise WeakKey if it is not accepted."""
    check_public_key(public_key)
    assert isinstance(public_key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    return public_key


def public_key_pem(der: bytes) -> str:
    """Return a SubjectPublicKeyInfo as PEM."""
    return pem.public_key_pem(der)


def _check_rsa(numbers: rsa.RSAPublicNumbers) -> None:
    bits = numbers.n.bit_length()
    if not _SMALLEST_MODULUS_BITS <= bits <= _LARGEST_MODULUS_BITS:
        raise WeakKey(f"The RSA key has {bits} bits; accepted are {ACCEPTED}")
    if bits % 8 != 0:
        raise WeakKey(f"The RSA key has {bits} bits, which is not a multiple of 8")
    if numbers.e not in _EXPONENTS or numbers.e % 2 == 0:
        raise WeakKey("The RSA key's public exponent is not an odd number between 65537 and 2^256 - 1")
    if weakness := weak_keys.modulus_weakness(numbers.n):
        raise WeakKey(f"The RSA key is known to be weak: {weakness}")


def _check_ec(public_key: ec.EllipticCurvePublicKey) -> None:
    # The library checks that the point is on the curve whenever it loads a key.
    if public_key.curve.name not in _CURVES:
        raise WeakKey(f"The elliptic curve {public_key.curve.name} is not supported; accepted are {ACCEPTED}")
    if weakness := weak_keys.publication_of(public_key.public_numbers().x):
        raise WeakKey(f"The {_CURVES[public_key.curve.name]} key is known to be weak: {weakness}")
