"""Owns the numbers on Python's side of the search: integers here, 128 bytes each in the C part."""

from collections.abc import Sequence

from thingmint_ifma import _native

LANES = 8
_NUMBER_BYTES = 128


def is_applicable() -> bool:
    """Return whether the processor has AVX512-IFMA and the library supports it."""
    return _native.applicable()


def library_version() -> str:
    """Return the name, version and build date of the linked library."""
    return _native.version()


class PrimeSearch:
    """A search for primes. One thread at a time may use it, and no fork of the process."""

    def __init__(self) -> None:
        """Take memory for eight candidates; raise RuntimeError without AVX512-IFMA, MemoryError without memory."""
        self._search = _native.Search()

    def pair(self) -> tuple[int, int]:
        """Return two primes of 1024 bits, at least sqrt(2) * 2^1023, drawn independently of each other.

        FIPS 186-5, A.1.3: each candidate is drawn from the system's generator, is odd, has a predecessor that is
        coprime to 65537, and passes five Miller-Rabin rounds with random bases. Raise RuntimeError if the library
        reports an error, if another thread is using the search, or in a fork; OSError without random bytes.
        """
        pair = self._search.pair()
        return int.from_bytes(pair[:_NUMBER_BYTES], "little"), int.from_bytes(pair[_NUMBER_BYTES:], "little")


def powers(bases: Sequence[int], exponents: Sequence[int], moduli: Sequence[int]) -> list[int]:
    """Return base^exponent modulo modulus for eight of each; moduli are odd and have 1024 bits."""
    results = _native.powers(_lanes(bases), _lanes(exponents), _lanes(moduli))
    return [_number(results, lane) for lane in range(LANES)]


def rounds(moduli: Sequence[int], bases: Sequence[int]) -> list[bool]:
    """Return for eight moduli whether each passes a Miller-Rabin round with its base."""
    return list(_native.rounds(_lanes(moduli), _lanes(bases)))


def passes_sieve(candidate: int) -> bool:
    """Return whether an odd candidate has no factor below 2^14 and a predecessor that is coprime to 65537."""
    return _native.sieve(candidate.to_bytes(_NUMBER_BYTES, "little"))


def _lanes(numbers: Sequence[int]) -> bytes:
    return b"".join(number.to_bytes(_NUMBER_BYTES, "little") for number in numbers)


def _number(lanes: bytes, lane: int) -> int:
    return int.from_bytes(lanes[lane * _NUMBER_BYTES : (lane + 1) * _NUMBER_BYTES], "little")
