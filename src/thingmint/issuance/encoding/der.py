"""Owns the structure of DER elements, so that bytes can be compared and signed unchanged. Does not interpret them."""

from typing import NamedTuple

_LONG_FORM = 0x80
SEQUENCE, _BIT_STRING = 0x30, 0x03
_HIGH_TAG_NUMBER = 0x1F


class MalformedDER(ValueError):
    """The bytes are not a sequence of DER elements (X.690, 10.1: lengths are definite and as short as possible)."""


class Element(NamedTuple):
    """The place of an element: its identifier octet, and the offsets of its start, its content and its end."""

    tag: int
    start: int
    content: int
    end: int


# A signing request has about seventy elements, and the constructor of a named tuple takes twice as long.
_new_tuple = tuple.__new__


def elements(der: bytes, start: int, end: int) -> list[Element]:
    """Return the elements that fill ``der[start:end]``; raise MalformedDER if they do not fill it exactly."""
    found: list[Element] = []
    while start < end:
        element = _first_element(der, start, end)
        found.append(element)
        start = element[3]
    return found


def _first_element(der: bytes, start: int, end: int) -> Element:
    """Return the element at the start of ``der[start:end]``; raise MalformedDER if it does not end there."""
    content = start + 2
    if content > end:
        raise MalformedDER("an element is cut short")
    tag, length = der[start], der[start + 1]
    if tag & _HIGH_TAG_NUMBER == _HIGH_TAG_NUMBER:
        raise MalformedDER("a tag number above 30")
    if length >= _LONG_FORM:
        octets = length - _LONG_FORM
        length = _long_length(der[content : min(content + octets, end)], octets)
        content += octets
    following = content + length
    if following > end:
        raise MalformedDER("an element is longer than what holds it")
    return _new_tuple(Element, (tag, start, content, following))


def _long_length(encoded: bytes, octets: int) -> int:
    # X.690, 10.1: the definite form, in as few octets as possible. Otherwise an element has several encodings.
    if not octets:
        raise MalformedDER("an element of indefinite length")
    if len(encoded) < octets:
        raise MalformedDER("an element is longer than what holds it")
    length = int.from_bytes(encoded, "big")
    if encoded[0] == 0 or length < _LONG_FORM:
        raise MalformedDER("a length in more octets than it needs")
    return length


def children(der: bytes, parent: Element) -> list[Element]:
    """Return the elements inside an element; raise MalformedDER if they do not fill it exactly."""
    return elements(der, parent.content, parent.end)


def only_element(der: bytes) -> Element:
    """Return the element that fills all of the bytes; raise MalformedDER if there is not exactly one."""
    element = _first_element(der, 0, len(der)) if der else None
    if element is None or element.end != len(der):
        raise MalformedDER(f"{len(elements(der, 0, len(der)))} elements where one was expected")
    return element


def with_signature(signed: bytes, signature: bytes) -> bytes:
    """Return a signed structure (RFC 5280, 4.1.1) with another signature of the same algorithm."""
    outer = only_element(signed)
    _, algorithm, _ = children(signed, outer)
    return signed_structure(signed[outer.content : algorithm.start], signed[algorithm.start : algorithm.end], signature)


def signed_structure(to_be_signed: bytes, algorithm: bytes, signature: bytes, after: bytes = b"") -> bytes:
    """Return the signed part, the algorithm and the signature in one structure (RFC 5280, 4.1.1; RFC 6960, 4.2.1)."""
    # A BIT STRING begins with the number of its unused bits.
    return encode(SEQUENCE, to_be_signed + algorithm + encode(_BIT_STRING, b"\0" + signature) + after)


def encode(tag: int, content: bytes) -> bytes:
    """Return the DER of an element with this identifier octet."""
    length = len(content)
    if length < _LONG_FORM:
        return b"%c%c%b" % (tag, length, content)
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return b"%c%c%b%b" % (tag, _LONG_FORM | len(octets), octets, content)
