"""Keys that the library takes minutes to read, because it looks for factors of their long primes."""

import base64
from collections.abc import Callable
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support.certificates.der import bits, integer, oid, sequence
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import der_of, new_ca
from tests.support.registration.authority import NOW

from thingmint.issuance.encoding.der import children, encode, only_element

DIFFIE_HELLMAN = "1.2.840.113549.1.3.1"
# Mersenne primes, which need no search.
_LONG_PRIME, _LONGER_PRIME = 2**9689 - 1, 2**9941 - 1
_EXPONENT = 65537


def diffie_hellman_request() -> str:
    """Return a signing request whose key is a Diffie-Hellman key; its signature is of another key."""
    der = x509.load_pem_x509_csr(csr_pem("p-256").encode()).public_bytes(serialization.Encoding.DER)
    request = x509.load_der_x509_csr(_with_key(der, place=2))
    return request.public_bytes(serialization.Encoding.PEM).decode()


def diffie_hellman_certificate(at: datetime = NOW) -> x509.Certificate:
    """Return a certificate whose key is a Diffie-Hellman key; its signature is of another content."""
    return x509.load_der_x509_certificate(_with_key(der_of(new_ca(at=at).issue("slow", at=at)), place=6))


def diffie_hellman_key() -> str:
    """Return a Diffie-Hellman private key in PKCS#8."""
    algorithm = sequence(oid(DIFFIE_HELLMAN), sequence(integer(_LONG_PRIME), integer(2)))
    der = sequence(integer(0), algorithm, encode(0x04, integer(12345)))
    return f"-----BEGIN PRIVATE KEY-----\n{base64.encodebytes(der).decode()}-----END PRIVATE KEY-----\n"


def long_rsa_key() -> str:
    """Return an RSA key of 19,630 bits in the form in which the service makes keys."""
    p, q = _LONGER_PRIME, _LONG_PRIME
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(_EXPONENT, p * q)
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public)
    key = numbers.private_key(unsafe_skip_rsa_key_validation=True)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()


def sealed_slowly(kind: str) -> bytes:
    """Return a sealed private key of a kind of `SEALED_SLOWLY`, which nobody has to be able to open."""
    return SEALED_SLOWLY[kind]()


def _pbkdf2(rounds: int) -> bytes:
    return sequence(oid("1.2.840.113549.1.5.12"), sequence(_SALT, integer(rounds), integer(32)))


def _scrypt(*numbers: int) -> bytes:
    return sequence(oid("1.3.6.1.4.1.11591.4.11"), sequence(_SALT, *map(integer, numbers)))


def _sealed_key(derivation: bytes) -> bytes:
    cipher = sequence(oid("2.16.840.1.101.3.4.1.42"), encode(0x04, bytes(16)))
    return sequence(sequence(oid("1.2.840.113549.1.5.13"), sequence(derivation, cipher)), encode(0x04, bytes(160)))


def _in_pem(sealed: bytes) -> bytes:
    text = base64.encodebytes(sealed)
    return b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + text + b"-----END ENCRYPTED PRIVATE KEY-----\n"


def _pkcs12(sealed: bytes, rounds: int) -> bytes:
    """Return a file with a sealed key whose authentication code has this number of rounds."""
    bag = sequence(oid("1.2.840.113549.1.12.10.1.2"), encode(0xA0, sealed))
    content = sequence(data(sequence(bag)))
    sha256 = sequence(oid("2.16.840.1.101.3.4.2.1"), b"\x05\0")
    return sequence(
        integer(3), data(content), sequence(sequence(sha256, encode(0x04, bytes(32))), _SALT, integer(rounds))
    )


def data(content: bytes) -> bytes:
    """Return a ContentInfo with this content (RFC 5652, 4)."""
    return sequence(oid("1.2.840.113549.1.7.1"), encode(0xA0, encode(0x04, content)))


_SALT = encode(0x04, b"saltsalt")
_FAST, _SLOW = 2_048, 2**31 - 1
_PBES1 = sequence(oid("1.2.840.113549.1.12.1.3"), sequence(_SALT, integer(_SLOW)))
SEALED_SLOWLY: dict[str, Callable[[], bytes]] = {
    "PBKDF2": lambda: _in_pem(_sealed_key(_pbkdf2(_SLOW))),
    "scrypt": lambda: _in_pem(_sealed_key(_scrypt(2**20, 8, 1_000))),
    "PBES1": lambda: _in_pem(sequence(_PBES1, encode(0x04, bytes(160)))),
    "PKCS#12": lambda: _pkcs12(_sealed_key(_pbkdf2(_SLOW)), _FAST),
    "PKCS#12, authentication": lambda: _pkcs12(_sealed_key(_pbkdf2(_FAST)), _SLOW),
}


def _with_key(der: bytes, place: int) -> bytes:
    signed, *rest = children(der, only_element(der))
    parts = [der[part.start : part.end] for part in children(der, signed)]
    algorithm = sequence(oid(DIFFIE_HELLMAN), sequence(integer(_LONG_PRIME), integer(2)))
    parts[place] = sequence(algorithm, bits(integer(pow(2, 12345, _LONG_PRIME))))
    return sequence(sequence(*parts), *(der[part.start : part.end] for part in rest))
