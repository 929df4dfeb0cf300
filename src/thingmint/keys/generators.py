"""Owns the functions with which a worker generates key pairs: OpenSSL's, or thingmint-ifma's, one for each channel.

The package thingmint-ifma is loaded by name, because it is optional: a service with OpenSSL runs without it.
"""

import importlib
from collections.abc import Callable
from enum import StrEnum

from thingmint.issuance.keys.key_pairs import KeyPair, generate_key_pair, key_pair_of_primes

PACKAGE = "thingmint_ifma"


class Engine(StrEnum):
    """The implementation that generates key pairs."""

    OPENSSL = "openssl"
    IFMA = "ifma"


def generators(engine: Engine, channels: int) -> list[Callable[[], KeyPair]]:
    """Return a function for each channel that generates a key pair.

    One thread at a time can use a search, so each channel has one. Raises ImportError if the engine's package cannot be
    loaded, its SelfTestFailed if a result is wrong, RuntimeError if the processor cannot run it.
    """
    if engine is Engine.OPENSSL:
        return [generate_key_pair] * channels
    package = importlib.import_module(PACKAGE)
    package.self_test()
    return [_from(package.PrimeSearch().pair) for _ in range(channels)]


def _from(pair: Callable[[], tuple[int, int]]) -> Callable[[], KeyPair]:
    def generate() -> KeyPair:
        return key_pair_of_primes(*pair())

    return generate
