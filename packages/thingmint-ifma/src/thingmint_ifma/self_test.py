"""Owns the known answers that the library and the sieve must give before a first candidate is drawn."""

import secrets
from collections.abc import Iterator

from thingmint_ifma.known_answers import LARGEST_PRIME, OAKLEY_PRIME, ROUNDS, SIEVED
from thingmint_ifma.search import LANES, passes_sieve, powers, rounds


class SelfTestFailed(Exception):
    """The library or the sieve gives an answer that is known to be wrong; the message says which."""


def self_test() -> None:
    """Compare with known answers and with Python's own arithmetic; raise SelfTestFailed at the first difference.

    It takes about 40 ms. The exponentiations have random operands besides fixed ones, so each start tries others.
    """
    _check_powers()
    for first in range(0, len(ROUNDS), LANES):
        moduli, bases, expected = zip(*ROUNDS[first : first + LANES], strict=True)
        try:
            passed = rounds(moduli, bases)
        except RuntimeError as error:
            raise SelfTestFailed("the library reports an error in Miller-Rabin rounds") from error
        if passed != list(expected):
            raise SelfTestFailed("a Miller-Rabin round gives a wrong verdict")
    for candidate, expected_to_pass in SIEVED:
        if passes_sieve(candidate) != expected_to_pass:
            raise SelfTestFailed("trial division gives a wrong verdict")


def _check_powers() -> None:
    operands = list(_operands())
    try:
        results = powers(*(list(column) for column in zip(*operands, strict=True)))
    except RuntimeError as error:
        raise SelfTestFailed("the library reports an error in an exponentiation") from error
    if results != [pow(base, exponent, modulus) for base, exponent, modulus in operands]:
        raise SelfTestFailed("an exponentiation differs from Python's")


def _operands() -> Iterator[tuple[int, int, int]]:
    """Yield base, exponent and modulus for each lane: the edges first, then random ones."""
    yield 1, LARGEST_PRIME - 1, LARGEST_PRIME
    yield OAKLEY_PRIME - 1, 3, OAKLEY_PRIME
    yield 2, OAKLEY_PRIME, LARGEST_PRIME
    for _ in range(LANES - 3):
        modulus = 1 << 1023 | secrets.randbits(1023) | 1
        yield secrets.randbelow(modulus), secrets.randbits(1024), modulus
