"""Requests of the usual form: read as the library reads them, and everything else left to the library."""

import random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from tests.support.machine.soak import examples

from thingmint.issuance.revocation.ocsp import MalformedRequest, StatusRequest, read_request
from thingmint.issuance.revocation.usual_request import read_usual_request

NUMBERS = (0, 1, 127, 128, 255, 1 << 64, (1 << 158) + 1, (1 << 160) - 1)
NONCES = (None, b"n", bytes(16), bytes(range(32)), bytes(64))
DIGESTS = (hashes.SHA1(), hashes.SHA256())


def request(number: int, nonce: bytes | None, digest: hashes.HashAlgorithm) -> bytes:
    """Return a request as the library writes it."""
    name, key = bytes(range(digest.digest_size)), bytes(range(100, 100 + digest.digest_size))
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(name, key, number, digest)
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(serialization.Encoding.DER)


def as_the_library_reads(der: bytes) -> tuple[str, bytes, bytes, int, bytes | None]:
    """Return what the library finds in a request."""
    read = ocsp.load_der_ocsp_request(der)
    nonces = [each.value.nonce for each in read.extensions if isinstance(each.value, x509.OCSPNonce)]
    nonce = nonces[0] if nonces else None
    return read.hash_algorithm.name, read.issuer_name_hash, read.issuer_key_hash, read.serial_number, nonce


@pytest.mark.parametrize("nonce", NONCES, ids=lambda nonce: "none" if nonce is None else len(nonce))
@pytest.mark.parametrize("digest", DIGESTS, ids=lambda digest: digest.name)
def test_a_usual_request_is_read_as_the_library_reads_it(nonce: bytes | None, digest: hashes.HashAlgorithm) -> None:
    for number in NUMBERS:
        der = request(number, nonce, digest)
        found = read_usual_request(der)
        assert found == as_the_library_reads(der)
        (name,) = read_request(der).names
        assert (*name, read_request(der).nonce) == found


@pytest.mark.parametrize("length", [65, 128])
def test_a_longer_nonce_is_left_to_the_library(length: int) -> None:
    der = request(5, bytes(length), hashes.SHA1())
    assert read_usual_request(der) is None
    assert read_request(der).nonce == bytes(length)


def test_a_longer_number_is_left_to_the_library() -> None:
    der = request(5, None, hashes.SHA1())
    number = bytes([0x02, 22, 1, *bytes(21)])
    longer = bytes(each + 21 if each in (der[1], der[3], der[5], der[7], der[9]) else each for each in der[:10])
    changed = longer + der[10:-3] + number
    assert read_usual_request(changed) is None
    assert read_request(changed).names[0].serial_number == 1 << 168


def test_what_was_changed_is_read_as_the_library_reads_it_or_left_to_it() -> None:
    draw = random.Random(7)
    whole = [request(number, nonce, digest) for number in NUMBERS for nonce in NONCES for digest in DIGESTS]
    recognized = 0
    for _ in range(examples(3000, 60_000)):
        der = bytearray(draw.choice(whole))
        for _ in range(draw.choice((1, 1, 2, 3))):
            change, at = draw.randrange(4), draw.randrange(len(der))
            if change == 0:
                der[at] = draw.randrange(256)
            elif change == 1:
                der[at] ^= 1 << draw.randrange(8)
            elif change == 2:
                del der[at:]
                der += b"\0" * draw.randrange(3)
            else:
                der.insert(at, draw.randrange(256))
            if not der:
                der += b"\x30"
        found = read_usual_request(bytes(der))
        if found is not None:
            recognized += 1
            assert found == as_the_library_reads(bytes(der))
        try:
            answered: StatusRequest | None = read_request(bytes(der))
        except MalformedRequest:
            answered = None
        assert found is None or answered is not None
    assert recognized


@pytest.mark.parametrize("cut", range(12))
def test_a_request_that_is_cut_is_left_to_the_library(cut: int) -> None:
    assert read_usual_request(request(5, None, hashes.SHA1())[:cut]) is None
