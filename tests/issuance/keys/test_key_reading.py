"""Private keys from elsewhere are read only if their kind and size are accepted, before the library's slow checks."""

import subprocess
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from tests.support.certificates.der import integer, oid, sequence
from tests.support.certificates.slow_keys import SEALED_SLOWLY, data, diffie_hellman_key, long_rsa_key, sealed_slowly
from tests.support.machine.required import required_program

from thingmint.issuance.encoding.der import MalformedDER, encode
from thingmint.issuance.keys.derivation_work import rounds_of_pkcs8, rounds_of_pkcs12
from thingmint.issuance.keys.key_reading import KeyRefused, private_key_in_der, private_key_in_pem
from thingmint.issuance.keys.private_keys import PassphraseMissing, PrivateKeyUnreadable, load_private_key

PEM, DER = serialization.Encoding.PEM, serialization.Encoding.DER
PKCS8, TRADITIONAL = serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL
CLEAR = serialization.NoEncryption()

BEGIN = "-----BEGIN PRIVATE KEY-----\n"

REFUSED: dict[str, Callable[[], bytes]] = {
    "Diffie-Hellman, sealed by its label only": lambda: (
        diffie_hellman_key().replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY").encode()
    ),
    "Diffie-Hellman behind a public key": lambda: f"-----BEGIN PUBLIC KEY-----\n{diffie_hellman_key()}".encode(),
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


def test_a_block_with_headers_is_refused_before_the_key_is_read() -> None:
    # RFC 7468, 2 has no headers. The library passes over them.
    with pytest.raises(ValueError, match="base64"):
        private_key_in_pem(diffie_hellman_key().replace(BEGIN, f"{BEGIN}X-A: b\n\n").encode(), None)


def test_text_without_a_private_key_is_refused() -> None:
    with pytest.raises(ValueError, match="no private key"):
        private_key_in_pem(b"-----BEGIN PRIVATE KEY-----", None)


@pytest.mark.parametrize("kind", SEALED_SLOWLY)
def test_a_key_whose_opening_takes_minutes_is_refused(kind: str) -> None:
    content = sealed_slowly(kind)
    with pytest.raises(PrivateKeyUnreadable, match="more than 10,000,000 rounds"):
        load_private_key(content, b"passphrase")
    with pytest.raises(PassphraseMissing):
        load_private_key(content, None)


def test_keys_that_common_tools_have_sealed_are_opened(ec_key: ec.EllipticCurvePrivateKey) -> None:
    openssl, pem = required_program("openssl"), ec_key.private_bytes(PEM, PKCS8, CLEAR)
    for options in (("-v2", "aes256"), ("-v2", "aes256", "-iter", "1000000"), ("-scrypt",), ("-v1", "PBE-SHA1-3DES")):
        command = [openssl, "pkcs8", "-topk8", *options, "-passout", "pass:passphrase"]
        sealed = subprocess.run(command, input=pem, capture_output=True, check=True).stdout
        assert private_key_in_pem(sealed, b"passphrase").private_numbers() == ec_key.private_numbers()


@pytest.mark.parametrize("content", [b"\x30\x00", b"\x30\x02\x30\x00", b"\x30\x05\x02\x01\x03\x30\x00"])
def test_what_is_sealed_in_no_known_form_has_no_rounds(content: bytes) -> None:
    assert rounds_of_pkcs8(content) == 0


@pytest.mark.parametrize(
    "content",
    [
        sequence(integer(3), sequence()),  # no content
        sequence(integer(3), integer(4)),
        sequence(integer(3), sequence(oid("1.2.840.113549.1.7.2"), encode(0xA0, sequence()))),  # signed data
        sequence(integer(3), data(sequence(integer(1)))),  # no safe
    ],
)
def test_a_file_without_safes_has_no_rounds(content: bytes) -> None:
    assert rounds_of_pkcs12(content) == 0


def nested(levels: int) -> bytes:
    content = encode(0x04, b"")
    for _ in range(levels):
        content = sequence(content)
    return content


@pytest.mark.parametrize(
    "content",
    [
        sequence(),
        sequence(integer(3), data(sequence() + sequence())),  # the content is more than one element
        sequence(integer(3), data(b"\x30\x80\x00\x00")),  # BER
        sequence(integer(3), nested(1_000)),
    ],
)
def test_what_the_library_might_read_in_another_way_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedDER):
        rounds_of_pkcs12(content)


def test_a_sealed_key_of_another_kind_is_refused() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    sealed = pkcs12.serialize_key_and_certificates(
        None, key, None, None, serialization.BestAvailableEncryption(b"passphrase")
    )
    with pytest.raises(PrivateKeyUnreadable, match="neither RSA nor ECDSA"):
        load_private_key(sealed, b"passphrase")
