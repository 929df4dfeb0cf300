"""The search for primes of thingmint-ifma, against Python's own arithmetic."""

import importlib
import os
import secrets
import subprocess
import sys
import threading
import warnings
from types import ModuleType

import pytest
from tests.support.certificates.ifma import require_ifma

from thingmint.host.hardening import WIPING_ENVIRONMENT

SMALL_PRIMES = [n for n in range(3, 1 << 14, 2) if all(n % divisor for divisor in range(3, int(n**0.5) + 1, 2))]


@pytest.fixture(autouse=True)
def ifma() -> ModuleType:
    """Return the package, or skip the test."""
    require_ifma()
    return importlib.import_module("thingmint_ifma")


def module(name: str) -> ModuleType:
    """Return a module of the package."""
    return importlib.import_module(f"thingmint_ifma.{name}")


def passes_round(modulus: int, base: int) -> bool:
    """Return the verdict of Miller-Rabin, computed as FIPS 186-5, B.3.1 writes it."""
    odd, squarings = modulus - 1, 0
    while odd % 2 == 0:
        odd, squarings = odd // 2, squarings + 1
    power = pow(base, odd, modulus)
    return power in (1, modulus - 1) or any(
        (power := power * power % modulus) == modulus - 1 for _ in range(squarings - 1)
    )


def is_prime(number: int) -> bool:
    """Return whether a number is prime, by rounds of its own."""
    return all(passes_round(number, secrets.randbelow(number - 3) + 2) for _ in range(8))


def test_primes_are_prime_large_enough_and_fit_for_the_exponent(ifma: ModuleType) -> None:
    search = ifma.PrimeSearch()
    primes = [prime for _ in range(6) for prime in search.pair()]
    assert all(is_prime(prime) for prime in primes)
    assert all(prime**2 >= 1 << 2047 and prime.bit_length() == 1024 for prime in primes)
    assert all(prime % 65537 != 1 for prime in primes)
    # None comes from the neighbourhood of another.
    assert all(abs(p - q) > 1 << 924 for n, p in enumerate(primes) for q in primes[:n])


def test_primes_of_both_classes_modulo_4_are_found(ifma: ModuleType) -> None:
    search = ifma.PrimeSearch()
    found: set[int] = set()
    while found != {1, 3}:
        found |= {prime % 4 for prime in search.pair()}


def test_self_test_passes(ifma: ModuleType) -> None:
    ifma.self_test()
    assert "crypto_mb" in ifma.library_version()


def test_known_answers_are_what_python_says() -> None:
    known = module("known_answers")
    for modulus, base, expected in known.ROUNDS:
        assert modulus.bit_length() == 1024
        assert passes_round(modulus, base) is expected
    assert is_prime(known.LARGEST_PRIME)
    assert is_prime(known.OAKLEY_PRIME)
    assert is_prime(known.HALVABLE_PRIME)
    assert pow(2, known.CARMICHAEL_NUMBER - 1, known.CARMICHAEL_NUMBER) == 1
    assert not is_prime(known.CARMICHAEL_NUMBER)
    # The primes up to 23 take it for a prime.
    assert all(passes_round(known.ARNAULT_COMPOSITE, base) for base in (2, 3, 5, 7, 11, 13, 17, 19, 23))
    assert not is_prime(known.ARNAULT_COMPOSITE)
    for candidate, expected in known.SIEVED:
        assert sieved(candidate) is expected


def sieved(candidate: int) -> bool:
    """Return the verdict of trial division."""
    return candidate % 65537 != 1 and all(candidate % prime for prime in SMALL_PRIMES)


def test_trial_division_agrees_with_python_for_each_prime_and_for_random_numbers() -> None:
    passes_sieve = module("search").passes_sieve
    for prime in SMALL_PRIMES:
        # Its multiples by a prime beyond the sieve, and the largest one that there is.
        assert not passes_sieve(prime * ((1 << 1009) - 55 | 1))
        assert not passes_sieve(prime * (((1 << 1024) - 1) // prime - 1 | 1))
    for _ in range(2_000):
        candidate = 1 << 1023 | secrets.randbits(1023) | 1
        assert passes_sieve(candidate) is sieved(candidate)


def test_rounds_agree_with_python_for_random_numbers() -> None:
    rounds = module("search").rounds
    primes = [prime for _ in range(2) for prime in importlib.import_module("thingmint_ifma").PrimeSearch().pair()]
    moduli = [*primes, *(1 << 1023 | secrets.randbits(1023) | 1 for _ in range(4))]
    for _ in range(3):
        bases = [secrets.randbelow(modulus - 3) + 2 for modulus in moduli]
        assert rounds(moduli, bases) == list(map(passes_round, moduli, bases))


@pytest.mark.parametrize(
    ("table", "wrong"),
    [("ROUNDS", "a Miller-Rabin round gives a wrong verdict"), ("SIEVED", "trial division gives a wrong verdict")],
)
def test_self_test_notices_a_wrong_verdict(
    monkeypatch: pytest.MonkeyPatch, ifma: ModuleType, table: str, wrong: str
) -> None:
    self_test = module("self_test")
    rows = list(getattr(self_test, table))
    rows[-1] = (*rows[-1][:-1], not rows[-1][-1])
    monkeypatch.setattr(self_test, table, tuple(rows))
    with pytest.raises(ifma.SelfTestFailed, match=wrong):
        self_test.self_test()


@pytest.mark.parametrize("buffers", [(b"", b"", b""), (bytes(1024), bytes(1024), bytes(1023))])
def test_operands_of_another_length_are_refused(buffers: tuple[bytes, bytes, bytes]) -> None:
    native = module("_native")
    with pytest.raises(ValueError, match="eight numbers of 128 bytes"):
        native.powers(*buffers)
    with pytest.raises(ValueError, match="eight numbers of 128 bytes"):
        native.rounds(*buffers[1:])
    with pytest.raises(ValueError, match="128 bytes"):
        native.sieve(buffers[0])
    with pytest.raises(TypeError):
        native.Search(1)


def test_searches_of_two_threads_find_different_primes(ifma: ModuleType) -> None:
    found: list[int] = []

    def search() -> None:
        own = ifma.PrimeSearch()
        for _ in range(3):
            found.extend(own.pair())

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 12


def test_search_that_another_thread_uses_is_refused_and_goes_on(ifma: ModuleType) -> None:
    search = ifma.PrimeSearch()
    refused = threading.Event()
    found: list[int] = []

    def keep_searching() -> None:
        while not refused.is_set():
            try:
                found.extend(search.pair())
            except RuntimeError:
                refused.set()

    threads = [threading.Thread(target=keep_searching) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused.is_set()
    assert len(set(found)) == len(found)
    assert is_prime(search.pair()[0])


def test_fork_cannot_go_on_with_the_search_and_its_own_finds_other_primes(ifma: ModuleType) -> None:
    search = ifma.PrimeSearch()
    search.pair()
    readable, writable = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads; that someone forks all the same is the point.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            search.pair()
        except RuntimeError:
            os.write(writable, b"%x" % ifma.PrimeSearch().pair()[0])
            code = 0
        finally:
            os._exit(code)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        of_fork = int(pipe.read(), 16)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert is_prime(of_fork)
    assert of_fork not in search.pair()


# Looks for a prime in everything that this process may write to, and prints how often it is there.
MEMORY_SEARCH = """
import sys, thingmint_ifma
from thingmint.host.hardening import harden_process
assert harden_process(wipe_freed_memory=True).freed_memory_wiped
search = thingmint_ifma.PrimeSearch()
p, q = search.pair()
if sys.argv[1] == "kept":
    kept = p.to_bytes(128, "little")
needle = bytearray(p.to_bytes(128, "little")[40:80])
# Backwards, so that what is looked for is nowhere in the form in which it is looked for.
needle.reverse()
with open("/proc/self/maps") as maps:
    lines = [line.split()[:2] for line in maps if "[v" not in line]
found = 0
with open("/proc/self/mem", "rb", 0) as memory:
    for place, rights in lines:
        start, end = (int(edge, 16) for edge in place.split("-"))
        if rights.startswith("rw"):
            memory.seek(start)
            held = bytearray(memory.read(end - start))
            held.reverse()
            found += held.count(needle)
print(found)
"""


@pytest.mark.parametrize(("argument", "expected"), [("gone", 0), ("kept", 1)])
def test_found_prime_is_nowhere_in_the_memory_of_the_process_that_has_given_it_away(
    argument: str, expected: int
) -> None:
    seen = subprocess.run(
        [sys.executable, "-c", MEMORY_SEARCH, argument],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **WIPING_ENVIRONMENT},
    )
    assert int(seen.stdout) == expected


def test_program_says_what_it_has_tested() -> None:
    ended = subprocess.run([sys.executable, "-m", "thingmint_ifma"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert "crypto_mb" in ended.stdout
