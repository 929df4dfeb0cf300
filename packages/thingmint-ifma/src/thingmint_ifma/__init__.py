"""Searches pairs of primes for RSA-2048 keys with AVX512-IFMA: random candidates, trial division, Miller-Rabin.

The exponentiations are Intel's crypto_mb. A search knows no key, no certificate and no service: `PrimeSearch.pair`
returns two primes, and its caller makes and checks the key.
"""

from thingmint_ifma.search import PrimeSearch, is_applicable, library_version
from thingmint_ifma.self_test import SelfTestFailed, self_test

__all__ = ["PrimeSearch", "SelfTestFailed", "is_applicable", "library_version", "self_test"]
