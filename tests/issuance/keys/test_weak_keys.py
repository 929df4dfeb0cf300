"""The weak classes, each with a key that has the weakness, and `badkeys` as a second opinion."""

import math
import random

import pytest
from badkeys.rsakeys import fermat, roca
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from thingmint.issuance.keys.weak_keys import (
    PUBLISHED,
    has_close_primes,
    has_roca_fingerprint,
    has_small_factor,
    is_biased,
    modulus_weakness,
    publication_of,
)

# RFC 9500, section 2.1: testRSA2048.
RFC_9500_MODULUS = int(
    "b0f9e81943a7ae9892aade17ca7c40f8744fed2f8148e6c8eaa27b7d001548fb5192ab28b56c5060b118ccd131e59487"
    "4c6ca989b56c27296f09fb93a034df32e97c6ff0998cfd8e6f42dda58acd1fa97986f144f3d154d67650175e6854b3a9"
    "52003bc06887b8455ac2b19f7b2f76504ebc98ec945571b07892150ddc6a74ca0fbcd35497ce81534daf9418844b13ae"
    "a31f9d5a6b9557bbdf619efd4e887f2d42b8dd8bc987eae1bf89cab85ee21e356305df6c07a8838e3ef41c595dcce43d"
    "afc49123ef4d8abba93d3905e4028d7ba91484a27596e07b4b6ed992f077b524d3dcfe7ddd5549be7cce8da035cfa0b3"
    "fb8f9e46f732b2a86b460165c08f5313",
    16,
)


@pytest.fixture
def modulus(rsa_key: rsa.RSAPrivateKey) -> int:
    return rsa_key.public_key().public_numbers().n


def roca_modulus(generator: random.Random) -> int:
    """Return a number of the form k * M + 65537^a mod M, as Infineon's generator made its primes."""
    primes = [number for number in range(2, 702) if all(number % factor for factor in range(2, number))][:39]
    product = math.prod(primes)
    power = pow(65537, generator.getrandbits(64), product)
    return generator.getrandbits(2048 - product.bit_length()) * product + power


def test_an_ordinary_modulus_has_no_weakness(modulus: int) -> None:
    assert modulus_weakness(modulus) is None


@pytest.mark.parametrize("prime", [2, 3, 5, 743, 751])
def test_a_factor_below_752_is_found(prime: int, modulus: int) -> None:
    assert has_small_factor(modulus * prime)
    assert "prime factor" in str(modulus_weakness(modulus * prime))


def test_the_next_prime_is_allowed(modulus: int) -> None:
    assert not has_small_factor(modulus * 757)


def test_a_modulus_of_zeros_or_ones_is_found(modulus: int) -> None:
    assert is_biased((1 << 2047) + 1)
    assert is_biased((1 << 2048) - 1)
    assert not is_biased(modulus)


def test_the_bias_is_given_as_the_reason() -> None:
    sparse = (1 << 2047) + 1
    while has_small_factor(sparse):
        sparse += 2
    assert "not random" in str(modulus_weakness(sparse))


def test_the_roca_fingerprint_is_found() -> None:
    generator = random.Random(2017)
    for _ in range(20):
        vulnerable = roca_modulus(generator)
        assert has_roca_fingerprint(vulnerable)
        assert roca(vulnerable)


def test_the_roca_fingerprint_is_given_as_the_reason() -> None:
    generator = random.Random(15361)
    vulnerable = roca_modulus(generator)
    while has_small_factor(vulnerable):
        vulnerable = roca_modulus(generator)
    assert "ROCA" in str(modulus_weakness(vulnerable))


@given(st.integers(1 << 2047, (1 << 2048) - 1))
def test_badkeys_agrees_on_the_roca_fingerprint(number: int) -> None:
    assert has_roca_fingerprint(number) == bool(roca(number))


@given(mean=st.integers(1 << 1023, 1 << 1024), distance=st.integers(0, 1 << 518).map(lambda half: 2 * half))
def test_badkeys_agrees_on_close_primes(mean: int, distance: int) -> None:
    modulus = (mean | 1) * ((mean | 1) + distance)
    # Their first round is the floor of the root where ours is the ceiling, so that each does one more than the other.
    found = fermat(modulus)
    if not found or found["a"] - math.isqrt(modulus) < 99:
        assert has_close_primes(modulus) == bool(found)


def test_close_primes_and_squares_are_found_and_given_as_the_reason(rsa_key: rsa.RSAPrivateKey) -> None:
    prime = rsa_key.private_numbers().p
    neighbour = prime + 2
    while has_small_factor(neighbour) or has_small_factor(prime):
        neighbour += 2
    assert has_close_primes(prime * prime)
    assert "Fermat" in str(modulus_weakness(prime * neighbour))


def test_ordinary_primes_are_not_close(modulus: int) -> None:
    assert not has_close_primes(modulus)


def test_a_difference_that_only_looks_like_a_square_gives_nothing_away() -> None:
    # A square plus the product of all sieves passes each of them, and has no whole root.
    difference = 7**2 + 64 * (63 * 65) * (11 * 17 * 19)
    assert math.isqrt(difference) ** 2 != difference
    assert not has_close_primes((1 << 1023) ** 2 - difference)


def test_the_published_key_of_rfc_9500_is_known() -> None:
    assert "published" in str(modulus_weakness(RFC_9500_MODULUS))


def test_an_unpublished_number_is_not(modulus: int) -> None:
    assert publication_of(modulus) is None


def test_fingerprints_have_one_form() -> None:
    assert all(len(bytes.fromhex(fingerprint)) == 15 and fingerprint.islower() for fingerprint in PUBLISHED)
