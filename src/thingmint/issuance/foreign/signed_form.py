"""Owns the signed bytes of a certificate, and the check that the rest has only one encoding. Verifies no signatures.

The signature is outside of the signed bytes. If it could be encoded in several ways, the holder of a certificate could
give it another id without the issuer's key.
"""

import hashlib

from thingmint.issuance.encoding.der import Element, MalformedDER, children, only_element

_SEQUENCE, _INTEGER, _BIT_STRING, _EXPLICIT_VERSION = 0x30, 0x02, 0x03, 0xA0

# Signature algorithms whose value is a SEQUENCE of two INTEGERs (RFC 3279, 2.2.2 and 2.2.3; RFC 5758; FIPS 202), by the
# content octets of their object identifiers: all below ecdsa-with-SHA1's parent, dsa-with-sha1, and of NIST's arc the
# first twelve.
_ECDSA_ARC = b"\x2a\x86\x48\xce\x3d\x04"
_DSA_WITH_SHA1 = b"\x2a\x86\x48\xce\x38\x04\x03"
_NIST_SIGNATURES = b"\x60\x86\x48\x01\x65\x03\x04\x03"
_NIST_TWO_INTEGERS = range(1, 13)


def signed_digest(der: bytes) -> str:
    """Return the hexadecimal SHA-256 of the bytes that the issuer signed, the TBSCertificate (RFC 5280, 4.1).

    It is the same for every encoding of a certificate, because only the issuer can change these bytes. For bytes that
    are not a certificate it is the digest of all of them.
    """
    try:
        signed = children(der, only_element(der))[0]
    except (MalformedDER, IndexError):
        return hashlib.sha256(der).hexdigest()
    return hashlib.sha256(der[signed.start : signed.end]).hexdigest()


def ensure_one_encoding(der: bytes) -> None:
    """Raise MalformedDER unless the parts outside of the TBSCertificate are encoded as DER requires."""
    tbs, algorithm, signature = children(der, only_element(der))
    inner_algorithm = _algorithm_of(children(der, tbs))
    # RFC 5280, 4.1.1.2: both must be equal, octet by octet. Absent parameters and NULL are different encodings.
    if der[inner_algorithm.start : inner_algorithm.end] != der[algorithm.start : algorithm.end]:
        raise MalformedDER("the certificate names two signature algorithms")
    if signature.tag != _BIT_STRING or signature.content == signature.end:
        raise MalformedDER("the signature is not a BIT STRING")
    if der[signature.content]:
        raise MalformedDER("the signature has unused bits")
    kind = children(der, algorithm)[0]
    if _is_two_integers(der[kind.content : kind.end]):
        _ensure_two_integers(der[signature.content + 1 : signature.end])


def _algorithm_of(fields: list[Element]) -> Element:
    # RFC 5280, 4.1: it follows the serial number. Before that, version 3 has an explicit version.
    return fields[2] if fields[0].tag == _EXPLICIT_VERSION else fields[1]


def _is_two_integers(algorithm: bytes) -> bool:
    if algorithm.startswith(_ECDSA_ARC) or algorithm == _DSA_WITH_SHA1:
        return True
    return algorithm[:-1] == _NIST_SIGNATURES and algorithm[-1] in _NIST_TWO_INTEGERS


def _ensure_two_integers(value: bytes) -> None:
    outer = only_element(value)
    numbers = children(value, outer)
    if outer.tag != _SEQUENCE or len(numbers) != 2:
        raise MalformedDER("the signature is not a SEQUENCE of two INTEGERs")
    for number in numbers:
        if number.tag != _INTEGER or not _is_positive_and_short(value[number.content : number.end]):
            raise MalformedDER("a number of the signature is not a positive INTEGER in as few octets as possible")


def _is_positive_and_short(content: bytes) -> bool:
    # X.690, 8.3.2: the first nine bits are not all equal. Signatures never have a zero.
    if not content or content[0] & 0x80 or content == b"\0":
        return False
    return content[0] != 0 or content[1] & 0x80 != 0
