"""Owns the classes of weak keys that a public key's number reveals. Independent of key objects and certificates.

The classes are those of the CA/Browser Forum's baseline requirements, 6.1.1.3 and 6.1.6, if they can be detected from
the public key alone. docs/decisions/0002-weak-keys.md has the measurements and the classes that are not covered.
"""

import math
from functools import cache

from cryptography.hazmat.primitives import hashes

_SMALLEST_FACTOR_ALLOWED = 752
_FERMAT_ROUNDS = 100
_LARGEST_ROCA_PRIME = 167
_ROCA_GENERATOR = 65537
_FINGERPRINT_OCTETS = 15

# A square has few residues modulo these, so nearly every round of Fermat's method ends without a square root.
_FIRST_SIEVE, _SECOND_SIEVE, _THIRD_SIEVE = 64, 63 * 65, 11 * 17 * 19

# Keys with a published private key: the first 15 octets of the SHA-256 of the modulus or of a point's x coordinate,
# encoded in the fewest octets. The lists of the badkeys project have this form.
PUBLISHED = frozenset(
    {
        # From RFC 9500, section 2: keys published for testing.
        "d5246bc377541fb76508de53d527eb",
        "718d4d86179831caf9ff705a08a587",
        "336ab2ef332415f3ec691a96a4dfd2",
        "f37f4a83bbce8e3e8118ca38541b39",
        "95ebd9e88bd04c3238d9593c875af8",
        # From RFC 6979, appendix A.2: keys of the example signatures.
        "0925f7c753355dd3cd3c4904001d6f",
        "10985c901b9bc6c098258f3ae43e4f",
        "cab8860f3b4d077859313d2a4ef4fe",
        # From the test vectors of pyca/cryptography, whose private keys anyone can download.
        "00474db50f4ae0485f3cd8e18dc0a6",
        "08fc226e8540dfe069325b648b3779",
        "20a2232ea593e897ac265a6fe22fdf",
        "31de11350640f9ce81163fcc3923df",
        "6741cf8f58052cddb9d1cf855fb1b3",
        "7253b78bba99eb845d27d6c93f5d4a",
        "7b71466542925d3bcddacb7326634f",
        "7cb04a731395efbb440cd2e2255d7d",
        "8d3128d6af5efd2f2d393c1cfe6855",
        "8fb87ae2e3e852bb55378f2ea6dbef",
        "97c03b0ba43a52c7860e6bfaa05997",
        "9a71f9b47e1522e66f0dd91a1089f2",
        "a3efcb78e0b391094e79ee18fed490",
        "adc5d0c3d03d31b8e7b8518092b3a8",
        "b3d0309ab0bd362f1373d4ef5bdfbc",
        "b92a220ffceeb9f2ec4a615c9b74fe",
        "bc2b256ac1051e8c0a6be7a1fdc7b4",
        "ca0ffc53e333314856f170efeee41e",
        "db70e8dfb424f8898de0343bea0d23",
        "e567c622f7f98bfc9ae8ab86b1cf57",
        "e9efe9a6d81e651a8447bf92bc561e",
        "ebe03ed9e85982985b2edca21ba060",
        "eef9abddd5c1d039181cd0ed25d5d9",
    }
)


def modulus_weakness(modulus: int) -> str | None:
    """Return the reason why an RSA modulus is weak, as the end of a sentence about its key, or None."""
    if has_small_factor(modulus):
        return f"its modulus has a prime factor below {_SMALLEST_FACTOR_ALLOWED}"
    if is_biased(modulus):
        return "the bits of its modulus are not random"
    if has_roca_fingerprint(modulus):
        return "its modulus has the fingerprint of the ROCA weakness (CVE-2017-15361)"
    if has_close_primes(modulus):
        return "its primes are so close that Fermat's method finds them"
    return publication_of(modulus)


def publication_of(number: int) -> str | None:
    """Return, as the end of a sentence, that the private key is public if this modulus or x coordinate is listed."""
    # Not hashlib, which would load a second OpenSSL of four megabytes into every key worker.
    digest = hashes.Hash(hashes.SHA256())
    digest.update(number.to_bytes((number.bit_length() + 7) // 8, "big"))
    if digest.finalize()[:_FINGERPRINT_OCTETS].hex() in PUBLISHED:
        return "its private key has been published"
    return None


def has_small_factor(modulus: int) -> bool:
    """Return whether a prime below 752 divides the modulus (baseline requirements, 6.1.6)."""
    product = _product_of_small_primes()
    return math.gcd(modulus % product, product) != 1


def is_biased(modulus: int) -> bool:
    """Return whether fewer than 40 or more than 60 in 100 bits are set, nine standard deviations from chance."""
    share = modulus.bit_count() / modulus.bit_length()
    return not 0.4 < share < 0.6


def has_roca_fingerprint(modulus: int) -> bool:
    """Return whether the modulus is a power of 65537 modulo each of the primes up to 167.

    Infineon's generator made such primes (Nemec and others, 2017, section 3.2). One other modulus in 2^27 has this
    property, too.
    """
    product, residues = _roca_residues()
    remainder = modulus % product
    return all(remainder % prime in powers for prime, powers in residues)


def has_close_primes(modulus: int) -> bool:
    """Return whether a hundred rounds of Fermat's factorisation find the primes (baseline requirements, 6.1.1.3)."""
    mean = math.isqrt(modulus - 1) + 1
    small_mean = mean % (_SECOND_SIEVE * _THIRD_SIEVE)
    small_modulus = modulus % (_SECOND_SIEVE * _THIRD_SIEVE)
    second_squares, third_squares = _squares_modulo(_SECOND_SIEVE), _squares_modulo(_THIRD_SIEVE)
    for step in _promising_steps(mean % _FIRST_SIEVE, modulus % _FIRST_SIEVE):
        residue = (small_mean + step) ** 2 - small_modulus
        if residue % _SECOND_SIEVE in second_squares and residue % _THIRD_SIEVE in third_squares:
            difference = (mean + step) ** 2 - modulus
            if math.isqrt(difference) ** 2 == difference:
                return True
    return False


@cache
def _product_of_small_primes() -> int:
    return math.prod(_primes_below(_SMALLEST_FACTOR_ALLOWED))


@cache
def _roca_residues() -> tuple[int, tuple[tuple[int, frozenset[int]], ...]]:
    residues = []
    for prime in _primes_below(_LARGEST_ROCA_PRIME + 1):
        powers = frozenset(pow(_ROCA_GENERATOR, exponent, prime) for exponent in range(prime - 1))
        # If 65537 generates the whole group, every modulus passes.
        if len(powers) < prime - 1:
            residues.append((prime, powers))
    return math.prod(prime for prime, _ in residues), tuple(residues)


@cache
def _promising_steps(mean: int, modulus: int) -> tuple[int, ...]:
    # At most 64 * 64 results of about twenty small numbers each.
    squares = _squares_modulo(_FIRST_SIEVE)
    return tuple(step for step in range(_FERMAT_ROUNDS) if ((mean + step) ** 2 - modulus) % _FIRST_SIEVE in squares)


@cache
def _squares_modulo(number: int) -> frozenset[int]:
    return frozenset(root * root % number for root in range(number))


def _primes_below(limit: int) -> list[int]:
    return [number for number in range(2, limit) if all(number % factor for factor in range(2, math.isqrt(number) + 1))]
