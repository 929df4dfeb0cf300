"""How the service's own private keys are stored, and what stands in the way of loading them."""

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from tests.support.certificates.passphrases import ROUNDS_IN_EARNEST, sealed_with
from tests.support.machine.required import required_program

from thingmint.issuance.keys.private_keys import (
    KEY_TYPES,
    PassphraseMissing,
    PassphraseRefused,
    PassphraseUnused,
    PassphraseWrong,
    PrivateKeyError,
    PrivateKeyUnreadable,
    dump_private_key,
    generate_private_key,
    load_private_key,
)

PASSPHRASE = "grüne Heide".encode()


@pytest.fixture(scope="session")
def sealed(ec_key: ec.EllipticCurvePrivateKey) -> bytes:
    with sealed_with(ROUNDS_IN_EARNEST):
        return dump_private_key(ec_key, PASSPHRASE)


@pytest.fixture(scope="session")
def sealed_pem(ec_key: ec.EllipticCurvePrivateKey) -> bytes:
    return ec_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(PASSPHRASE),
    )


def test_a_key_in_the_clear_is_pkcs8_and_comes_back(
    ec_key: ec.EllipticCurvePrivateKey, rsa_key: rsa.RSAPrivateKey
) -> None:
    for private_key in (ec_key, rsa_key):
        stored = dump_private_key(private_key, None)
        assert stored.startswith(b"-----BEGIN PRIVATE KEY-----\n")
        assert load_private_key(stored, None).private_numbers() == private_key.private_numbers()


def test_a_sealed_key_comes_back(sealed: bytes, ec_key: ec.EllipticCurvePrivateKey) -> None:
    assert load_private_key(sealed, PASSPHRASE).private_numbers() == ec_key.private_numbers()


def test_a_sealed_key_in_pem_from_elsewhere_is_accepted(sealed_pem: bytes, ec_key: ec.EllipticCurvePrivateKey) -> None:
    assert load_private_key(sealed_pem, PASSPHRASE).private_numbers() == ec_key.private_numbers()


def test_openssl_opens_a_sealed_key_and_counts_its_rounds(
    sealed: bytes, ec_key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    path = tmp_path / "sealed.key"
    path.write_bytes(sealed)
    completed = subprocess.run(
        [required_program("openssl"), "pkcs12", "-in", path, "-nodes", "-nocerts", "-info", "-passin", "stdin"],
        input=PASSPHRASE + b"\n",
        capture_output=True,
        check=True,
    )
    opened = serialization.load_pem_private_key(completed.stdout, None)
    assert isinstance(opened, ec.EllipticCurvePrivateKey)
    assert opened.private_numbers() == ec_key.private_numbers()
    assert b"PBES2, PBKDF2, AES-256-CBC, Iteration 600000, PRF hmacWithSHA256" in completed.stderr


@pytest.mark.parametrize(
    ("stored", "passphrase", "error"),
    [
        ("sealed", None, PassphraseMissing),
        ("sealed", b"other", PassphraseWrong),
        ("sealed_pem", None, PassphraseMissing),
        ("sealed_pem", b"other", PassphraseWrong),
        ("clear", PASSPHRASE, PassphraseUnused),
        ("cut", None, PrivateKeyUnreadable),
        ("junk", None, PrivateKeyUnreadable),
        ("junk", PASSPHRASE, PassphraseWrong),
        ("ed25519", None, PrivateKeyUnreadable),
        ("clear", b"", PassphraseRefused),
        ("clear", b"a\0b", PassphraseRefused),
        ("clear", b"\xff", PassphraseRefused),
    ],
)
def test_what_stands_in_the_way_has_a_name(
    stored: str,
    passphrase: bytes | None,
    error: type[PrivateKeyError],
    sealed: bytes,
    sealed_pem: bytes,
    ec_key: ec.EllipticCurvePrivateKey,
) -> None:
    clear = dump_private_key(ec_key, None)
    other = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files = {"sealed": sealed, "sealed_pem": sealed_pem, "clear": clear, "cut": clear[:60], "junk": b"junk",
             "ed25519": other}  # fmt: skip
    with pytest.raises(error) as failure:
        load_private_key(files[stored], passphrase)
    assert "grüne" not in str(failure.value)


@pytest.mark.parametrize("passphrase", [b"", b"a\0b", b"\xff\xfe"])
def test_no_key_is_sealed_by_a_passphrase_that_could_not_open_it(
    passphrase: bytes, ec_key: ec.EllipticCurvePrivateKey
) -> None:
    with pytest.raises(PassphraseRefused):
        dump_private_key(ec_key, passphrase)


@pytest.mark.parametrize(
    ("key_type", "curve_or_bits"),
    [("ecdsa-p256", "secp256r1"), ("ecdsa-p384", "secp384r1"), ("rsa-2048", 2048)],
)
def test_keys_are_generated_by_the_name_of_their_type(key_type: str, curve_or_bits: str | int) -> None:
    private_key = generate_private_key(key_type)
    made = private_key.curve.name if isinstance(private_key, ec.EllipticCurvePrivateKey) else private_key.key_size
    assert made == curve_or_bits


@pytest.mark.parametrize("bits", [3072, 4096])
def test_larger_rsa_keys_are_asked_for_by_name(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Generating them takes seconds.
    monkeypatch.setattr(rsa, "generate_private_key", lambda exponent, key_size: (exponent, key_size))
    assert generate_private_key(f"rsa-{bits}") == (65537, bits)  # type: ignore[comparison-overlap] # see above


def test_an_unknown_key_type_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no key type 'dsa'; there are ecdsa-p256"):
        generate_private_key("dsa")
    assert "dsa" not in KEY_TYPES
