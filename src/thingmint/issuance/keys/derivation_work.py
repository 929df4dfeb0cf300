"""Owns the count of the rounds of key derivation that open a sealed private key, which are numbers in the file.

Two billion rounds take half an hour, and the library does not limit them. Parts of a file that are encrypted are not
examined: only an owner of the passphrase can make them.
"""

from math import prod

from thingmint.issuance.encoding.der import SEQUENCE, Element, MalformedDER, children, elements, only_element

_INTEGER, _OCTET_STRING, _CONSTRUCTED = 0x02, 0x04, 0x20
# A key in PKCS#12 is at a depth of 8 in the OCTET STRING that holds it.
_DEEPEST = 16
# What an encoded OID begins with: PKCS#5 (RFC 8018, A) and the algorithms of PKCS#12 (RFC 7292, appendix C), whose
# parameters have one number of rounds.
_COUNTED = tuple(map(bytes.fromhex, ("06092a864886f70d0105", "060a2a864886f70d010c01")))
# id-scrypt (RFC 7914, 7): the product of its cost, block size and parallelization.
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_SCRYPT_NUMBERS = 3


def rounds_of_pkcs8(der: bytes) -> int:
    """Return the rounds of key derivation of a sealed key in PKCS#8 (RFC 5958, 3), 0 for another structure.

    Raises MalformedDER.
    """
    parts = children(der, only_element(der))
    return _rounds_below(der, parts[0]) if parts and parts[0].tag == SEQUENCE else 0


def rounds_of_pkcs12(der: bytes) -> int:
    """Return the rounds of key derivation of a file in PKCS#12 (RFC 7292, 4); raise MalformedDER."""
    outer = only_element(der)
    parts = children(der, outer)
    if len(parts) not in (2, 3):
        raise MalformedDER("PKCS#12 has two or three parts")
    # MacData: the digest, a salt and the rounds.
    rounds = _rounds_below(der, outer) + sum([_number(der, each) for mac in parts[2:] for each in _integers(der, mac)])
    safes = _content(der, parts[1])
    if safes is None:
        return rounds
    bags = [_content(der, safe) for safe in children(der, safes)]
    return rounds + sum([_rounds_below(der, each) for each in (safes, *bags) if each is not None])


def _content(der: bytes, content_info: Element) -> Element | None:
    """Return the element in the OCTET STRING of a ContentInfo (RFC 5652, 3), None if it holds another type."""
    found = content_info
    for _ in range(2):
        parts = children(der, found) if found.tag & _CONSTRUCTED else []
        if not parts:
            return None
        found = parts[-1]
    if found.tag != _OCTET_STRING:
        return None
    inside = elements(der, found.content, found.end)
    if len(inside) != 1:
        raise MalformedDER("the content of PKCS#12 is not one element")
    return inside[0]


def _rounds_below(der: bytes, element: Element, depth: int = 0) -> int:
    """Return the rounds of an algorithm, if the element is one, and of all elements in it."""
    if not element.tag & _CONSTRUCTED:
        return 0
    if depth > _DEEPEST:
        raise MalformedDER("elements are nested too deeply")
    parts = children(der, element)
    own = _rounds(der, parts[0], parts[1]) if len(parts) > 1 else 0
    return own + sum([_rounds_below(der, part, depth + 1) for part in parts])


def _rounds(der: bytes, algorithm: Element, parameters: Element) -> int:
    """Return the rounds of an algorithm with its parameters, 0 if it derives no key."""
    is_scrypt = der.startswith(_SCRYPT, algorithm.start)
    if parameters.tag != SEQUENCE or not (is_scrypt or der.startswith(_COUNTED, algorithm.start)):
        return 0
    numbers = [_number(der, part) for part in _integers(der, parameters)]
    # A salt is before the rounds. PBKDF2 has the length of the key after them.
    return prod(numbers[:_SCRYPT_NUMBERS]) if is_scrypt else sum(numbers[:1])


def _integers(der: bytes, parent: Element) -> list[Element]:
    return [part for part in children(der, parent) if part.tag == _INTEGER]


def _number(der: bytes, integer: Element) -> int:
    return int.from_bytes(der[integer.content : integer.end], "big")
