"""Certificates whose signatures take long to verify are refused in the handshake, before one of them is verified."""

import base64
import math
import random
import socket
from collections.abc import Iterator
from typing import TypeAlias

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import SSL
from tests.support.certificates.der import bits, context, integer, octets, oid, sequence, set_of, tlv
from tests.support.devices.tls_echo import EchoServer, echo_server
from tests.support.machine.loop_thread import GENEROUS

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
NUMBERS = random.Random(20)
DEVICE = ec.generate_private_key(ec.SECP256R1())
DSA = "1.2.840.10040.4.1"
RSASSA_PSS = "1.2.840.113549.1.1.10"
PRIME_FIELD = "1.2.840.10045.1.1"
EC_PUBLIC_KEY = "1.2.840.10045.2.1"
# A public key that OpenSSL has made; cryptography does not know the curve.
SECT571R1 = (
    "MIGnMBAGByqGSM49AgEGBSuBBAAnA4GSAAQF1yQHBUCYmSf+0JCMESGYWC+hKDmeUm//KeGESI0i6B13q7gJWhaDs7eOr2C7RXzH"
    "qZsU6OY989bAJ9lzUjPik4rd6aT0P9IA2QRwlaXPr2cYfB2QvGqvy2JTyk/rzHcQf2rmXpKAaUJvsGIdbWaIAgJcxrnw3SPaGwTf"
    "r/Or5TLGLJtGQv/FjxaTB3Fnis4="
)


SIGNATURES = {
    "1.2.840.113549.1.1.1": sequence(oid("1.2.840.113549.1.1.11"), tlv(0x05, b"")),
    RSASSA_PSS: sequence(oid(RSASSA_PSS)),
    DSA: sequence(oid("2.16.840.1.101.3.4.3.2")),
    EC_PUBLIC_KEY: sequence(oid("1.2.840.10045.4.3.2")),
    "1.3.101.112": sequence(oid("1.3.101.112")),
    "1.3.101.113": sequence(oid("1.3.101.113")),
}


def name(common_name: str) -> bytes:
    return sequence(set_of(sequence(oid("2.5.4.3"), tlv(0x0C, common_name.encode()))))


def boolean() -> bytes:
    return tlv(0x01, b"\xff")


def odd(length: int) -> int:
    """Return an odd number of this many bits. OpenSSL does not ask whether a modulus is a product of primes."""
    return NUMBERS.getrandbits(length) | 1 << length - 1 | 1


def rsa_spki(modulus_bits: int, exponent: int) -> bytes:
    key = rsa.RSAPublicNumbers(exponent, odd(modulus_bits)).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pss_spki(modulus_bits: int, exponent: int) -> bytes:
    return sequence(sequence(oid(RSASSA_PSS)), bits(sequence(integer(odd(modulus_bits)), integer(exponent))))


def dsa_spki(modulus_bits: int) -> bytes:
    parameters = sequence(integer(odd(modulus_bits)), integer(odd(256)), integer(odd(modulus_bits - 1)))
    return sequence(sequence(oid(DSA), parameters), bits(integer(odd(modulus_bits - 1))))


def ec_spki(curve: ec.EllipticCurve) -> bytes:
    public = ec.generate_private_key(curve).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def edwards_spki(key: ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


COSTLY = {
    "RSA of 3072 bits, exponent of 3071 bits": rsa_spki(3072, odd(3071)),
    "RSA of 2048 bits, exponent of 2047 bits": rsa_spki(2048, odd(2047)),
    "RSA of 16384 bits, exponent of 64 bits": rsa_spki(16384, odd(64)),
    "RSASSA-PSS of 3072 bits, exponent of 3071 bits": pss_spki(3072, odd(3071)),
    "DSA of 9990 bits": dsa_spki(9990),
    "a binary curve of 571 bits": base64.b64decode(SECT571R1),
}
QUICK = {
    "RSA of 2048 bits": rsa_spki(2048, 65537),
    "RSA of 4096 bits, exponent 3": rsa_spki(4096, 3),
    "RSA of 3072 bits, exponent of 256 bits": rsa_spki(3072, odd(256)),
    "RSA of 16384 bits": rsa_spki(16384, 65537),
    "RSASSA-PSS of 4096 bits": pss_spki(4096, 65537),
    "P-521": ec_spki(ec.SECP521R1()),
    "brainpoolP512r1": ec_spki(ec.BrainpoolP512R1()),
    "a key that OpenSSL cannot read": sequence(sequence(oid(EC_PUBLIC_KEY), oid(PRIME_FIELD)), bits(bytes(65))),
    "Ed25519": edwards_spki(ed25519.Ed25519PrivateKey.generate()),
    "Ed448": edwards_spki(ed448.Ed448PrivateKey.generate()),
}


@pytest.fixture(scope="module", name="server")
def running_server() -> Iterator[EchoServer]:
    with echo_server() as running:
        yield running


def algorithm_of(spki: bytes) -> bytes:
    """Return the signature algorithm that belongs to the type of a key; else OpenSSL finds no chain."""
    for key_oid, signature in SIGNATURES.items():
        if oid(key_oid) in spki[:40]:
            return signature
    raise AssertionError("no such key")


def certificate(subject: str, issuer: str, spki: bytes, algorithm: bytes, *, is_authority: bool) -> x509.Certificate:
    """Return a certificate with this key, whose signature is wrong."""
    constraints = sequence(oid("2.5.29.19"), boolean(), octets(sequence(boolean()) if is_authority else sequence()))
    content = sequence(
        context(0, integer(2)),
        integer(NUMBERS.getrandbits(120)),
        algorithm,
        name(issuer),
        sequence(tlv(0x18, b"20250101000000Z"), tlv(0x18, b"20550101000000Z")),
        name(subject),
        spki,
        context(3, sequence(constraints)),
    )
    return x509.load_der_x509_certificate(sequence(content, algorithm, bits(sequence(integer(1), integer(1)))))


def is_admitted(server: EchoServer, leaf: x509.Certificate, issuers: list[x509.Certificate], key: PrivateKey) -> bool:
    tls = SSL.Context(SSL.TLS_CLIENT_METHOD)
    # This client sends what it is told to.
    tls.set_cipher_list(b"ALL:@SECLEVEL=0")
    tls.use_certificate(leaf)
    for issuer in issuers:
        tls.add_extra_chain_cert(issuer)
    tls.use_privatekey(key)
    with socket.create_connection(("127.0.0.1", server.port), timeout=GENEROUS) as plain:
        plain.settimeout(None)
        client = SSL.Connection(tls, plain)
        client.set_connect_state()
        try:
            client.do_handshake()
            client.send(b"hello")
            return client.recv(5) == b"hello"
        except SSL.Error:
            return False


def chain(spki: bytes, length: int, *, with_root: bool) -> tuple[x509.Certificate, list[x509.Certificate]]:
    """Return a leaf and its issuers, which all have the one key."""
    own = DEVICE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    algorithm = algorithm_of(spki)
    leaf = certificate("leaf", f"issuer {length - 1}", own, algorithm, is_authority=False)
    first = "issuer 0" if with_root else "elsewhere"
    issuers = [
        certificate(f"issuer {number}", f"issuer {number - 1}" if number else first, spki, algorithm, is_authority=True)
        for number in reversed(range(length))
    ]
    return leaf, issuers


@pytest.mark.parametrize("with_root", [True, False])
@pytest.mark.parametrize("kind", sorted(COSTLY))
def test_a_costly_key_of_an_issuer_ends_the_handshake(server: EchoServer, kind: str, with_root: bool) -> None:
    count = len(server.protocols)
    assert not is_admitted(server, *chain(COSTLY[kind], 2, with_root=with_root), DEVICE)
    assert len(server.protocols) == count


@pytest.mark.parametrize("with_root", [True, False])
@pytest.mark.parametrize("kind", sorted(QUICK))
def test_any_quick_key_of_an_issuer_is_admitted(server: EchoServer, kind: str, with_root: bool) -> None:
    assert is_admitted(server, *chain(QUICK[kind], 2, with_root=with_root), DEVICE)


def costly_key() -> rsa.RSAPrivateKey:
    """Return an RSA key whose public exponent is as long as its modulus."""
    usual = rsa.generate_private_key(65537, 2048).private_numbers()
    private = 65537
    while math.gcd(private, (usual.p - 1) * (usual.q - 1)) > 1:
        private += 2
    public = rsa.RSAPublicNumbers(pow(private, -1, (usual.p - 1) * (usual.q - 1)), usual.public_numbers.n)
    parts = (private, private % (usual.p - 1), private % (usual.q - 1), usual.iqmp)
    numbers = rsa.RSAPrivateNumbers(usual.p, usual.q, *parts, public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def test_a_costly_key_of_the_device_itself_ends_the_handshake(server: EchoServer) -> None:
    for key, admitted in ((costly_key(), False), (rsa.generate_private_key(65537, 2048), True)):
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for issuer in ("leaf", "elsewhere"):
            assert (
                is_admitted(server, certificate("leaf", issuer, spki, algorithm_of(spki), is_authority=False), [], key)
                is admitted
            )
