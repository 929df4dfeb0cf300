"""Many keys of thingmint-ifma, made by real workers and judged by others: ten thousand of them in `make soak`."""

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import gmpy2
import pytest
from badkeys.checks import checkpubkey
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.clients.test_key_quality import shared_factors
from tests.keys.test_key_pool import Observer
from tests.support.certificates.ifma import require_ifma
from tests.support.machine.soak import SOAK, examples

from thingmint.issuance.keys.key_pairs import KeyPair, public_key_pem
from thingmint.keys import pool as pool_module
from thingmint.keys.generators import Engine
from thingmint.keys.pool import KeyPool

pytestmark = pytest.mark.soak
COUNT = examples(100, 10_000)
FULLY_VALIDATED = examples(8, 100)
AT_ONCE = 64
BADKEYS = ["fermat", "roca", "rsainvalid", "rsapoly", "smalld", "smallfactors", "rsawarnings", "rsabias", "pattern",
           "xzbackdoor"]  # fmt: skip
# Of so many standard deviations, chance is not to be expected in the life of this project.
IMPROBABLE = 7.0
# Of a hundred keys, so many that each class is expected at least five times.
MODULI = [3, 4, 5, 7, 8, 11, 13, 16, 17, 19, 23, 29, 31, 32]
BINS = [8, 32]
if SOAK:
    MODULI += [37, 64, 101, 251, 256, 509]
    BINS += [256]


async def taken(count: int) -> list[KeyPair]:
    """Return key pairs that the engine's workers have made."""
    pool = KeyPool(0, 2, AT_ONCE, Observer(), engine=Engine.IFMA)
    await pool.start()
    try:
        pairs: list[KeyPair] = []
        while len(pairs) < count:
            pairs += await asyncio.gather(*(pool.take() for _ in range(min(AT_ONCE, count - len(pairs)))))
        assert pool.engine is Engine.IFMA
    finally:
        await pool.close()
    return pairs


@pytest.fixture(scope="module")
def pairs() -> list[KeyPair]:
    """Return many key pairs."""
    require_ifma()
    with pytest.MonkeyPatch.context() as patient:
        # Workers are late on a crowded machine although nothing is wrong with them.
        for ticks in ("STUCK_TICKS", "STARTING_TICKS", "UNAVAILABLE_TICKS"):
            patient.setattr(pool_module, ticks, 1_000_000)
        return asyncio.run(taken(COUNT))


def loaded(pair: KeyPair, *, validated: bool = False) -> rsa.RSAPrivateKey:
    """Return the private key, validated by OpenSSL if asked for."""
    key = load_pem_private_key(pair.private_key_pem, None, unsafe_skip_rsa_key_validation=not validated)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.fixture(scope="module")
def numbers(pairs: Sequence[KeyPair]) -> list[rsa.RSAPrivateNumbers]:
    """Return the numbers of the keys."""
    return [loaded(pair).private_numbers() for pair in pairs]


def primes_of(numbers: Iterable[rsa.RSAPrivateNumbers]) -> Iterator[int]:
    """Yield both primes of each key."""
    for each in numbers:
        yield each.p
        yield each.q


def deviation(counts: Iterable[int], expected: float) -> float:
    """Return by how many standard deviations a chi-square statistic exceeds its mean (Wilson and Hilferty)."""
    observed = list(counts)
    freedom = len(observed) - 1
    statistic = sum((count - expected) ** 2 / expected for count in observed)
    spread = 2 / (9 * freedom)
    return float(((statistic / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(spread))


def test_no_prime_is_there_twice(numbers: Sequence[rsa.RSAPrivateNumbers]) -> None:
    assert max(Counter(primes_of(numbers)).values()) == 1
    # Python's own integers would divide the product of ten thousand moduli for hours.
    assert shared_factors([gmpy2.mpz(each.public_numbers.n) for each in numbers]) == []


def test_numbers_are_those_of_fips_186_5(numbers: Sequence[rsa.RSAPrivateNumbers]) -> None:
    for each in numbers:
        order = math.lcm(each.p - 1, each.q - 1)
        assert each.public_numbers.n == each.p * each.q
        assert each.public_numbers.e == 65537
        assert each.d == pow(65537, -1, order)
        assert each.d > 1 << 1024
        assert min(each.p, each.q) ** 2 > 1 << 2047
        assert each.p - each.q > 1 << 924
        assert (each.dmp1, each.dmq1, each.iqmp) == (
            each.d % (each.p - 1),
            each.d % (each.q - 1),
            pow(each.q, -1, each.p),
        )


def test_openssl_validates_a_sample_in_full(pairs: Sequence[KeyPair]) -> None:
    for pair in pairs[:: len(pairs) // FULLY_VALIDATED]:
        loaded(pair, validated=True)


def test_badkeys_finds_nothing(pairs: Sequence[KeyPair]) -> None:
    for pair in pairs:
        assert checkpubkey(public_key_pem(pair.public_key_der), checks=BADKEYS)["results"] == {}


@pytest.mark.parametrize("modulus", MODULI)
def test_residues_of_the_primes_are_even(numbers: Sequence[rsa.RSAPrivateNumbers], modulus: int) -> None:
    residues = [residue for residue in range(modulus) if math.gcd(residue, modulus) == 1]
    expected = 2 * len(numbers) / len(residues)
    counts = Counter(prime % modulus for prime in primes_of(numbers))
    assert set(counts) <= set(residues)
    assert deviation((counts[residue] for residue in residues), expected) < IMPROBABLE


@pytest.mark.parametrize("bins", BINS)
def test_sizes_of_the_primes_are_even(numbers: Sequence[rsa.RSAPrivateNumbers], bins: int) -> None:
    expected = 2 * len(numbers) / bins
    smallest = math.isqrt(1 << 2047)
    width = ((1 << 1024) - smallest) // bins + 1
    counts = Counter((prime - smallest) // width for prime in primes_of(numbers))
    assert deviation((counts[number] for number in range(bins)), expected) < IMPROBABLE


def test_each_bit_between_the_ends_is_set_in_half_of_the_primes(numbers: Sequence[rsa.RSAPrivateNumbers]) -> None:
    primes = list(primes_of(numbers))
    for bit in range(1, 1000):
        ones = sum(prime >> bit & 1 for prime in primes)
        assert abs(ones - len(primes) / 2) < IMPROBABLE * math.sqrt(len(primes)) / 2, bit
