"""Which keys are made, and which are accepted."""

import subprocess
import sys

import pytest
from badkeys.checks import checkpubkey
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519

from thingmint.issuance.keys.key_pairs import (
    DefectiveKeyPair,
    KeyPair,
    WeakKey,
    check_private_numbers,
    check_public_key,
    generate_key_pair,
    key_pair_of_primes,
    load_public_key,
    public_key_pem,
)


def a_prime_of(bits: int, start: int) -> int:
    """Return a number that passes for a prime in a check that looks at sizes only."""
    return (1 << (bits - 1)) + start


@pytest.fixture
def numbers(rsa_key: rsa.RSAPrivateKey) -> rsa.RSAPrivateNumbers:
    return rsa_key.private_numbers()


def changed(numbers: rsa.RSAPrivateNumbers, **changes: int) -> rsa.RSAPrivateNumbers:
    public = numbers.public_numbers
    values = {"p": numbers.p, "q": numbers.q, "d": numbers.d, "n": public.n, "e": public.e} | changes
    return rsa.RSAPrivateNumbers(
        values["p"], values["q"], values["d"], 1, 1, 1, rsa.RSAPublicNumbers(values["e"], values["n"])
    )


def public(modulus: int, exponent: int = 65537) -> rsa.RSAPublicKey:
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def test_a_generated_key_is_rsa_2048_in_the_encodings_of_aws(key_pair: KeyPair) -> None:
    private_key = serialization.load_pem_private_key(key_pair.private_key_pem, None)
    assert isinstance(private_key, rsa.RSAPrivateKey)
    assert key_pair.private_key_pem.startswith(b"-----BEGIN RSA PRIVATE KEY-----\n")
    assert key_pair.private_key_pem.endswith(b"-----END RSA PRIVATE KEY-----\n")
    assert private_key.key_size == 2048
    assert private_key.public_key().public_numbers().e == 65537
    assert load_public_key(key_pair.public_key_der) == private_key.public_key()


def test_the_public_key_is_written_as_openssl_writes_it(key_pair: KeyPair) -> None:
    expected = load_public_key(key_pair.public_key_der).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert public_key_pem(key_pair.public_key_der) == expected.decode()


def test_no_repr_shows_the_private_key(key_pair: KeyPair) -> None:
    assert "PRIVATE" not in repr(key_pair)
    assert "private" not in repr(key_pair)


def test_generated_keys_differ_and_badkeys_finds_nothing(key_pair: KeyPair) -> None:
    pairs = [key_pair, generate_key_pair(), generate_key_pair()]
    assert len({pair.public_key_der for pair in pairs}) == len(pairs)
    checks = ["fermat", "roca", "rsainvalid", "rsapoly", "sharedprimes", "smalld", "smallfactors", "rsawarnings",
              "rsabias", "pattern", "xzbackdoor"]  # fmt: skip
    for pair in pairs:
        result = checkpubkey(public_key_pem(pair.public_key_der), checks=checks)
        assert result["type"] == "rsa"
        assert result["results"] == {}


def test_a_key_pair_of_two_primes_is_the_one_that_openssl_would_make(numbers: rsa.RSAPrivateNumbers) -> None:
    pair = key_pair_of_primes(numbers.q, numbers.p)
    loaded = serialization.load_pem_private_key(pair.private_key_pem, None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    assert loaded.private_numbers() == numbers
    assert load_public_key(pair.public_key_der) == loaded.public_key()
    assert key_pair_of_primes(numbers.p, numbers.q) == pair


def test_a_composite_in_place_of_a_prime_is_found(numbers: rsa.RSAPrivateNumbers) -> None:
    # Divisible by no small prime, and the numbers keep every rule.
    composite = numbers.p - 2
    while any(composite % small == 0 for small in range(3, 2000, 2)) or pow(2, composite - 1, composite) == 1:
        composite -= 2
    with pytest.raises(DefectiveKeyPair, match="the key pair does not work"):
        key_pair_of_primes(composite, numbers.q)


def test_two_primes_that_are_the_same_are_refused(numbers: rsa.RSAPrivateNumbers) -> None:
    with pytest.raises(DefectiveKeyPair, match="ValueError") as refused:
        key_pair_of_primes(numbers.p, numbers.p)
    assert refused.value.__cause__ is None


def test_a_prime_that_is_too_small_makes_no_key_pair(numbers: rsa.RSAPrivateNumbers) -> None:
    with pytest.raises(DefectiveKeyPair, match="2048 bits"):
        key_pair_of_primes(numbers.p, (1 << 521) - 1)


def test_the_private_numbers_of_a_generated_key_pass(numbers: rsa.RSAPrivateNumbers) -> None:
    check_private_numbers(numbers)


def test_a_modulus_that_is_not_the_product_is_refused(numbers: rsa.RSAPrivateNumbers) -> None:
    with pytest.raises(DefectiveKeyPair, match="product"):
        check_private_numbers(changed(numbers, n=numbers.public_numbers.n + 2))


def test_a_modulus_of_another_size_is_refused() -> None:
    p, q = a_prime_of(512, 7), a_prime_of(512, 99)
    with pytest.raises(DefectiveKeyPair, match="2048 bits"):
        check_private_numbers(rsa.RSAPrivateNumbers(p, q, 3, 1, 1, 1, rsa.RSAPublicNumbers(65537, p * q)))


def test_another_public_exponent_is_refused(numbers: rsa.RSAPrivateNumbers) -> None:
    with pytest.raises(DefectiveKeyPair, match="exponent is not 65537"):
        check_private_numbers(changed(numbers, e=3))


def test_a_prime_below_the_bound_is_refused(numbers: rsa.RSAPrivateNumbers) -> None:
    p, q = (1 << 1023) + 1, (1 << 1024) + (1 << 1000) + 1
    with pytest.raises(DefectiveKeyPair, match="too small"):
        check_private_numbers(changed(numbers, p=p, q=q, n=p * q))


def test_primes_that_are_too_close_are_refused(numbers: rsa.RSAPrivateNumbers) -> None:
    q = numbers.p + (1 << 924)
    p = numbers.p
    with pytest.raises(DefectiveKeyPair, match="too close"):
        check_private_numbers(changed(numbers, q=q, n=p * q))


@pytest.mark.parametrize("difference", [-(1 << 2047), 2])
def test_a_private_exponent_that_is_small_or_wrong_is_refused(difference: int, numbers: rsa.RSAPrivateNumbers) -> None:
    with pytest.raises(DefectiveKeyPair, match="private exponent"):
        check_private_numbers(changed(numbers, d=numbers.d + difference))


def test_a_private_exponent_from_phi_instead_of_lcm_is_refused(numbers: rsa.RSAPrivateNumbers) -> None:
    phi = (numbers.p - 1) * (numbers.q - 1)
    with pytest.raises(DefectiveKeyPair, match="private exponent"):
        # Congruent modulo lcm, so it works, but it is longer than FIPS 186-5, A.1.1 allows.
        check_private_numbers(changed(numbers, d=numbers.d + phi))


@pytest.mark.parametrize(
    ("bits", "reason"),
    [(1024, "1024 bits"), (2047, "2047 bits"), (4104, "4104 bits"), (2049, "not a multiple of 8")],
)
def test_rsa_keys_of_other_sizes_are_refused(bits: int, reason: str, numbers: rsa.RSAPrivateNumbers) -> None:
    modulus = (numbers.public_numbers.n >> 1 << max(0, bits - 2047) >> max(0, 2047 - bits)) | 1
    assert modulus.bit_length() == bits
    with pytest.raises(WeakKey, match=reason):
        check_public_key(public(modulus))


@pytest.mark.parametrize("exponent", [3, 257, 65535, (1 << 256) + 1])
def test_rsa_keys_with_other_exponents_are_refused(exponent: int, rsa_key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(WeakKey, match="exponent"):
        check_public_key(public(rsa_key.public_key().public_numbers().n, exponent))


def test_a_larger_odd_exponent_is_accepted(rsa_key: rsa.RSAPrivateKey) -> None:
    check_public_key(public(rsa_key.public_key().public_numbers().n, 65539))


def test_a_known_weak_rsa_key_is_refused_with_the_reason(rsa_key: rsa.RSAPrivateKey) -> None:
    modulus = rsa_key.public_key().public_numbers().n
    with pytest.raises(WeakKey, match="known to be weak: its modulus has a prime factor"):
        check_public_key(public(modulus - modulus % 3 + (3 if (modulus - modulus % 3) % 2 == 0 else 0)))


def test_a_published_ec_key_is_refused() -> None:
    # RFC 6979, appendix A.2.5.
    private_value = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    published = ec.derive_private_key(private_value, ec.SECP256R1()).public_key()
    with pytest.raises(WeakKey, match="P-256 key is known to be weak: its private key has been published"):
        check_public_key(published)


@pytest.mark.parametrize(
    ("public_key", "name"),
    [
        (ed25519.Ed25519PrivateKey.generate().public_key(), "Ed25519"),
        (ed448.Ed448PrivateKey.generate().public_key(), "Ed448"),
        (x25519.X25519PrivateKey.generate().public_key(), "X25519"),
        (ec.generate_private_key(ec.BrainpoolP256R1()).public_key(), "brainpoolP256r1"),
    ],
    ids=["Ed25519", "Ed448", "X25519", "brainpool"],
)
def test_other_keys_are_refused_by_name(public_key: object, name: str) -> None:
    with pytest.raises(WeakKey, match=name):
        check_public_key(public_key)


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"not a key"])
def test_what_is_no_public_key_is_refused(der: bytes) -> None:
    with pytest.raises(WeakKey, match="cannot be read"):
        load_public_key(der)


def test_a_worker_that_imports_this_module_loads_no_certificates_and_no_second_openssl() -> None:
    shown = "print({'cryptography.x509', '_hashlib'} & sys.modules.keys())"
    program = f"import sys, thingmint.issuance.keys.key_pairs; {shown}"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert printed.stdout == "set()\n"
