"""Private keys from elsewhere are read only if their kind and size are accepted, before the library's slow checks."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from tests.support.certificates.slow_keys import diffie_hellman_key, long_rsa_key

from thingmint.issuance.keys.key_reading import KeyRefused, private_key_in_der, private_key_in_pem
from thingmint.issuance.keys.private_keys import PrivateKeyUnreadable, load_private_key

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, TRADITIONAL = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
CLEAR = serialization.NoEncryption()

REFUSED: dict[str, Callable[[], bytes]] = {
    "Diffie-Hellman": lambda: diffie_hellman_key().encode(),
    "RSA with 19,630 bits": lambda: long_rsa_key().encode(),
    "RSA with 1024 bits": lambda: rsa.generate_private_key(65537, 1024).private_bytes(PEM, PKCS8, CLEAR),
    "Ed25519": lambda: ed25519.Ed25519PrivateKey.generate().private_bytes(PEM, PKCS8, CLEAR),
    "DSA": lambda: dsa.generate_private_key(2048).private_bytes(PEM, TRADITIONAL, CLEAR),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()).private_bytes(PEM, PKCS8, CLEAR),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_other_kinds_and_sizes_are_refused(kind: str) -> None:
    content = REFUSED[kind]()
    with pytest.raises(KeyRefused):
        private_key_in_pem(content, None)
    with pytest.raises(PrivateKeyUnreadable):
        load_private_key(content, None)


def test_accepted_keys_are_read_in_every_form(rsa_key: rsa.RSAPrivateKey, ec_key: ec.EllipticCurvePrivateKey) -> None:
    for key in (rsa_key, ec_key):
        for form in (PKCS8, TRADITIONAL):
            read = private_key_in_pem(key.private_bytes(PEM, form, CLEAR), None)
            assert read.private_numbers() == key.private_numbers()
            assert private_key_in_der(key.private_bytes(DER, form, CLEAR)).private_numbers() == key.private_numbers()


def test_an_rsa_key_whose_numbers_do_not_fit_is_refused(rsa_key: rsa.RSAPrivateKey) -> None:
    numbers = rsa_key.private_numbers()
    other = rsa.RSAPrivateNumbers(
        numbers.p, numbers.q, numbers.d + 2, numbers.dmp1, numbers.dmq1, numbers.iqmp, numbers.public_numbers
    ).private_key(unsafe_skip_rsa_key_validation=True)
    with pytest.raises(ValueError, match="Invalid private key"):
        private_key_in_pem(other.private_bytes(PEM, PKCS8, CLEAR), None)


@pytest.mark.parametrize("content", [b"", b"\x30", b"\x30\x00", b"\x02\x01\x00", b"x" * 100])
def test_what_is_no_key_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the library's texts vary
        private_key_in_der(content)
    with pytest.raises(ValueError):  # noqa: PT011 - see above
        private_key_in_pem(b"-----BEGIN PRIVATE KEY-----\n" + content + b"\n-----END PRIVATE KEY-----\n", None)
