"""Owns other encodings of a certificate: the same content, as its holder can write it without its issuer."""

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from tests.support.certificates import der as asn1

from thingmint.issuance.encoding.der import children, only_element

# The order of the group of P-256 (SEC 2, 2.4.2).
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# Those of P-384 and P-521 (2.5.1 and 2.6.1).
P384_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973
P521_ORDER = int(
    "01FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFA"
    "51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409",
    16,
)


def parts_of(der: bytes) -> tuple[bytes, bytes, bytes]:
    """Return the signed part, the algorithm beside the signature, and the octets of the signature."""
    tbs, algorithm, signature = children(der, only_element(der))
    return (
        der[tbs.start : tbs.end],
        der[algorithm.start : algorithm.end],
        der[signature.content + 1 : signature.end],
    )


def with_signature(der: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return the certificate with its signature changed."""
    tbs, algorithm, signature = parts_of(der)
    return asn1.sequence(tbs, algorithm, asn1.bits(change(signature)))


def negated(der: bytes, order: int = P256_ORDER) -> bytes:
    """Return the certificate with s replaced by n - s in its signature by a key on P-256, which is as valid.

    ``order`` is that of another curve's group.
    """

    def negate(signature: bytes) -> bytes:
        r, s = decode_dss_signature(signature)
        return encode_dss_signature(r, order - s)

    return with_signature(der, negate)


def with_larger_number(der: bytes, order: int) -> bytes:
    """Return the certificate with n added to r in its signature by ECDSA: the same number to who reduces it first."""

    def add(signature: bytes) -> bytes:
        r, s = decode_dss_signature(signature)
        return encode_dss_signature(r + order, s)

    return with_signature(der, add)


def with_larger_rsa_number(der: bytes, modulus: int) -> bytes:
    """Return the certificate with the modulus added to its signature by RSA."""
    return with_signature(
        der, lambda signature: (int.from_bytes(signature) + modulus).to_bytes(len(signature) + 1, "big")
    )


def with_leading_zero(der: bytes) -> bytes:
    """Return the certificate with a zero before its signature by RSA."""
    return with_signature(der, lambda signature: b"\0" + signature)


def without_leading_zeros(der: bytes) -> bytes:
    """Return the certificate without the zeros before its signature by RSA, if there are any."""
    return with_signature(der, lambda signature: signature.lstrip(b"\0"))


def padded(der: bytes) -> bytes:
    """Return the certificate with a zero before r in its signature by ECDSA."""

    def pad(signature: bytes) -> bytes:
        r, s = (each.to_bytes(each.bit_length() // 8 + 1, "big") for each in decode_dss_signature(signature))
        return asn1.sequence(asn1.tlv(0x02, b"\0" + r), asn1.tlv(0x02, s))

    return with_signature(der, pad)


def negative(der: bytes) -> bytes:
    """Return the certificate with a signature by ECDSA whose r is negative."""

    def negate(signature: bytes) -> bytes:
        r, s = decode_dss_signature(signature)
        return asn1.sequence(asn1.integer(-r), asn1.integer(s))

    return with_signature(der, negate)


def zero(der: bytes) -> bytes:
    """Return the certificate with a signature by ECDSA whose r is zero."""
    return with_signature(der, lambda _: asn1.sequence(asn1.integer(0), asn1.integer(1)))


def with_unused_bits(der: bytes) -> bytes | None:
    """Return the certificate with one unused bit in its signature, None if the last bit is needed."""
    tbs, algorithm, signature = parts_of(der)
    if signature[-1] & 1:
        return None
    return asn1.sequence(tbs, algorithm, asn1.tlv(0x03, b"\1" + signature))


def with_long_length(der: bytes) -> bytes:
    """Return the certificate with a leading zero in the length of all of it."""
    assert der[1] == 0x82
    return b"\x30\x83\x00" + der[2:]


def with_indefinite_length(der: bytes) -> bytes:
    """Return the certificate in the indefinite form of BER."""
    return b"\x30\x80" + der[4:] + b"\0\0"


def with_long_signature_length(der: bytes) -> bytes:
    """Return the certificate with the length of the signature in the long form; for signatures below 128 octets."""
    tbs, algorithm, signature = parts_of(der)
    assert len(signature) < 0x7F
    return asn1.sequence(tbs, algorithm, bytes((0x03, 0x81, len(signature) + 1, 0)) + signature)


def with_trailing_octet(der: bytes) -> bytes:
    """Return the certificate with an octet behind it."""
    return der + b"\0"


def with_fourth_element(der: bytes) -> bytes:
    """Return the certificate with an element behind the signature."""
    tbs, algorithm, signature = parts_of(der)
    return asn1.sequence(tbs, algorithm, asn1.bits(signature), asn1.tlv(0x05, b""))


def with_trailing_octet_in_signature(der: bytes) -> bytes:
    """Return the certificate with an octet behind the two numbers of a signature by ECDSA."""
    return with_signature(der, lambda signature: signature + b"\0")


def with_third_number(der: bytes) -> bytes:
    """Return the certificate with a third number in its signature by ECDSA."""

    def add(signature: bytes) -> bytes:
        outer = only_element(signature)
        return asn1.tlv(0x30, signature[outer.content :] + asn1.integer(1))

    return with_signature(der, add)


def with_parameters(der: bytes) -> bytes:
    """Return the certificate with NULL as the outer algorithm's parameters, or without them where they are NULL."""
    tbs, algorithm, signature = parts_of(der)
    null = asn1.tlv(0x05, b"")
    content = algorithm[only_element(algorithm).content :]
    changed = content.removesuffix(null) if content.endswith(null) else content + null
    return asn1.sequence(tbs, asn1.tlv(0x30, changed), asn1.bits(signature))


def without_bit_string(der: bytes) -> bytes:
    """Return the certificate with its signature in an OCTET STRING."""
    tbs, algorithm, signature = parts_of(der)
    return asn1.sequence(tbs, algorithm, asn1.tlv(0x04, b"\0" + signature))


def without_signature(der: bytes) -> bytes:
    """Return the certificate with an empty BIT STRING for a signature."""
    tbs, algorithm, _ = parts_of(der)
    return asn1.sequence(tbs, algorithm, asn1.tlv(0x03, b""))


def with_algorithm(der: bytes, algorithm: str) -> bytes:
    """Return the certificate of version 3 with this algorithm inside and outside; its signature is wrong then."""
    tbs, _, signature = parts_of(der)
    fields = [tbs[each.start : each.end] for each in children(tbs, only_element(tbs))]
    fields[2] = asn1.sequence(asn1.oid(algorithm))
    return asn1.sequence(asn1.sequence(*fields), fields[2], asn1.bits(signature))


def with_unknown_version(der: bytes) -> bytes:
    """Return a certificate, a signing request or a revocation list with version 77."""
    place = der.index(b"\x02\x01") + 2
    return der[:place] + bytes([77]) + der[place + 1 :]
