"""A certificate has one encoding, but for the signatures that can be made of a signature."""

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, rsa
from tests.support.certificates import encodings
from tests.support.certificates.signing_requests import key_of
from tests.support.certificates.user_ca import UserCA, der_of, new_ca

from thingmint.core.errors import CertificateInvalid
from thingmint.issuance.encoding.der import MalformedDER
from thingmint.issuance.foreign.certificate import load_foreign, load_registered
from thingmint.issuance.foreign.signed_form import ensure_one_encoding, signed_digest
from thingmint.issuance.foreign.user_ca import is_issued_by

ECDSA: list[Callable[[bytes], bytes]] = [
    encodings.padded,
    encodings.negative,
    encodings.zero,
    encodings.with_long_length,
    encodings.with_indefinite_length,
    encodings.with_long_signature_length,
    encodings.with_trailing_octet,
    encodings.with_fourth_element,
    encodings.with_trailing_octet_in_signature,
    encodings.with_third_number,
    encodings.with_parameters,
    encodings.without_bit_string,
    encodings.without_signature,
]
OTHERS: list[Callable[[bytes], bytes]] = [
    encodings.with_long_length,
    encodings.with_indefinite_length,
    encodings.with_trailing_octet,
    encodings.with_fourth_element,
    encodings.with_parameters,
    encodings.without_bit_string,
    encodings.without_signature,
]


@pytest.fixture(scope="module")
def ca() -> UserCA:
    return new_ca()


@pytest.fixture(scope="module")
def rsa_ca() -> UserCA:
    key = key_of("rsa-2048")
    assert isinstance(key, rsa.RSAPrivateKey)
    return new_ca(key=key)


@pytest.mark.parametrize("change", ECDSA, ids=lambda change: change.__name__)
def test_another_encoding_of_an_ecdsa_certificate_is_malformed(ca: UserCA, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CertificateInvalid):
        load_foreign(change(der_of(ca.issue())), "certificate")


@pytest.mark.parametrize("pss", [False, True], ids=["PKCS#1", "PSS"])
@pytest.mark.parametrize("change", OTHERS, ids=lambda change: change.__name__)
def test_another_encoding_of_an_rsa_certificate_is_malformed(
    rsa_ca: UserCA, change: Callable[[bytes], bytes], *, pss: bool
) -> None:
    with pytest.raises(CertificateInvalid):
        load_foreign(change(der_of(rsa_ca.issue(pss=pss))), "certificate")


def test_unused_bits_of_a_signature_are_malformed(rsa_ca: UserCA) -> None:
    changed = None
    while changed is None:
        changed = encodings.with_unused_bits(der_of(rsa_ca.issue()))
    with pytest.raises(
        CertificateInvalid, match="The certificate is not encoded in DER: the signature has unused bits"
    ):
        load_foreign(changed, "certificate")
    # What an earlier version registered is read all the same.
    assert is_issued_by(load_registered(changed, "certificate"), load_foreign(der_of(rsa_ca.certificate), "CA"))


@pytest.mark.parametrize("hash_", [hashes.SHA256(), hashes.SHA384(), hashes.SHA224(), hashes.SHA3_256()])
def test_signatures_by_dsa_have_one_encoding_too(
    hash_: hashes.SHA256 | hashes.SHA384 | hashes.SHA224 | hashes.SHA3_256, dsa_ca: UserCA, ca: UserCA
) -> None:
    issuers = [ca] if isinstance(hash_, hashes.SHA3_256) else [ca, dsa_ca]
    for issuer in issuers:
        der = der_of(issuer.issue(hash_=hash_))
        load_foreign(der, "certificate")
        with pytest.raises(CertificateInvalid, match="as few octets as possible"):
            load_foreign(encodings.padded(der), "certificate")


@pytest.fixture(scope="module")
def dsa_ca() -> UserCA:
    return new_ca(key=dsa.generate_private_key(2048))


@pytest.mark.parametrize("algorithm", ["1.2.840.10040.4.3", "1.2.840.10045.4.1", "2.16.840.1.101.3.4.3.12"])
def test_every_algorithm_of_two_numbers_is_known(ca: UserCA, algorithm: str) -> None:
    der = encodings.with_algorithm(der_of(ca.issue()), algorithm)
    ensure_one_encoding(der)
    with pytest.raises(MalformedDER, match="as few octets as possible"):
        ensure_one_encoding(encodings.padded(der))


@pytest.mark.parametrize("algorithm", ["1.2.840.113549.1.1.11", "2.16.840.1.101.3.4.3.13", "1.3.101.112"])
def test_signatures_of_other_algorithms_are_octets(ca: UserCA, algorithm: str) -> None:
    ensure_one_encoding(encodings.padded(encodings.with_algorithm(der_of(ca.issue()), algorithm)))


@pytest.mark.parametrize("change", [encodings.without_bit_string, encodings.without_signature])
def test_a_signature_is_a_bit_string(ca: UserCA, change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(MalformedDER, match="not a BIT STRING"):
        ensure_one_encoding(change(der_of(ca.issue())))


def test_both_algorithms_are_the_same_octet_by_octet(ca: UserCA, rsa_ca: UserCA) -> None:
    for issuer in (ca, rsa_ca):
        with pytest.raises(MalformedDER, match="two signature algorithms"):
            ensure_one_encoding(encodings.with_parameters(der_of(issuer.issue())))


def test_the_digest_of_what_was_signed_is_the_same_for_every_encoding(ca: UserCA) -> None:
    der = der_of(ca.issue())
    negated = encodings.negated(der)
    original, other = load_foreign(der, "certificate"), load_foreign(negated, "certificate")
    assert original.certificate_id != other.certificate_id
    assert original.signed_digest == other.signed_digest == hashlib.sha256(encodings.parts_of(der)[0]).hexdigest()
    assert is_issued_by(other, load_foreign(der_of(ca.certificate), "CA certificate"))
    assert signed_digest(der_of(ca.issue())) != original.signed_digest


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"junk", b"\x30\x03\x02"])
def test_what_is_no_certificate_has_the_digest_of_all_of_it(der: bytes) -> None:
    assert signed_digest(der) == hashlib.sha256(der).hexdigest()
