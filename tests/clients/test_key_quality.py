"""Judges of keys that others wrote: badkeys, common divisors of moduli, the spread of serial numbers."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import badkeys
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support.clients.aws import Live
from tests.support.machine.soak import SOAK

# badkeys's blocklist is a download of its own, and looks for keys that others have published.
CHECKS = [check for check in badkeys.allchecks if check != "blocklist"]
SERIAL_BITS = 159
SOAK_KEYS = 400


def certificates_of(answers: Sequence[dict[str, Any]]) -> list[x509.Certificate]:
    return [x509.load_pem_x509_certificate(answer["certificatePem"].encode()) for answer in answers]


def moduli_of(certificates: Sequence[x509.Certificate]) -> list[int]:
    keys = [certificate.public_key() for certificate in certificates]
    assert all(isinstance(key, rsa.RSAPublicKey) for key in keys)
    return [key.public_numbers().n for key in keys if isinstance(key, rsa.RSAPublicKey)]


def shared_factors(moduli: Sequence[int]) -> list[int]:
    """Return the moduli that share a prime with another, by Bernstein's product and remainder trees."""
    levels = [list(moduli)]
    while len(levels[-1]) > 1:
        level = levels[-1]
        levels.append([math.prod(level[start : start + 2]) for start in range(0, len(level), 2)])
    remainders = levels.pop()
    for level in reversed(levels):
        remainders = [remainders[index // 2] % number**2 for index, number in enumerate(level)]
    return [n for n, remainder in zip(moduli, remainders, strict=True) if math.gcd(remainder // n, n) != 1]


def assert_is_clean(answer: dict[str, Any]) -> None:
    for judged in (
        badkeys.checkcrt(answer["certificatePem"], CHECKS),
        badkeys.checkprivkey(answer["keyPair"]["PrivateKey"], CHECKS),
        badkeys.checkpubkey(answer["keyPair"]["PublicKey"], CHECKS),
    ):
        assert (judged["type"], judged["bits"], judged["e"], judged["results"]) == ("rsa", 2048, 65537, {})


def test_badkeys_finds_nothing(identities: tuple[dict[str, Any], ...]) -> None:
    for answer in identities:
        assert_is_clean(answer)


def test_no_two_keys_share_a_prime(identities: tuple[dict[str, Any], ...]) -> None:
    moduli = moduli_of(certificates_of(identities))

    assert len(set(moduli)) == len(moduli)
    assert shared_factors(moduli) == []


@pytest.mark.parametrize("position", [0, 3, 4])
def test_a_shared_prime_would_be_found(position: int) -> None:
    moduli = [101 * 103, 107 * 109, 113 * 127, 131 * 137]

    assert shared_factors(moduli) == []
    moduli.insert(position, 103 * 139)
    assert sorted(shared_factors(moduli)) == sorted([101 * 103, 103 * 139])


def test_serial_numbers_are_spread_over_159_bits(identities: tuple[dict[str, Any], ...]) -> None:
    serials = [certificate.serial_number for certificate in certificates_of(identities)]

    assert len(set(serials)) == len(serials)
    assert all(0 < serial < 2**SERIAL_BITS for serial in serials)
    assert (max(serials) - min(serials)).bit_length() >= 150
    # Each bit is set in some and clear in others.
    always, ever = 2**SERIAL_BITS - 1, 0
    for serial in serials:
        always &= serial
        ever |= serial
    assert (always, ever) == (0, 2**SERIAL_BITS - 1)


@pytest.mark.soak
@pytest.mark.skipif(not SOAK, reason="hundreds of keys take minutes: `make soak`")
def test_hundreds_of_keys_are_sound(live_on_sqlite: Live, administrators: Callable[[Live], Any]) -> None:
    client = administrators(live_on_sqlite)
    answers = [client.create_keys_and_certificate() for _ in range(SOAK_KEYS)]

    for answer in answers:
        assert_is_clean(answer)
    assert shared_factors(moduli_of(certificates_of(answers))) == []
    assert len({certificate.serial_number for certificate in certificates_of(answers)}) == SOAK_KEYS
