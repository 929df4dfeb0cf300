"""Owns the memory of extensions that followed all rules. Does not judge extensions.

The certificates of an issuer have the same extensions, apart from the 20 octets of the subject key identifier. Whether
extensions follow the rules depends only on their octets and on what is expected of them. So after one certificate has
followed all rules, a certificate with the same octets follows them, too, if its identifier is right.
"""

from typing import Final

_IDENTIFIER_OCTETS: Final = 20
# The beginning of a subject key identifier (RFC 5280, 4.2.1.2) that is not critical: its object identifier, and the
# headers of two OCTET STRINGs.
_BEGINNING: Final = b"\x06\x03\x55\x1d\x0e\x04\x16\x04\x14"


class KnownExtensions:
    """The extensions of the last certificate that followed all rules, without the subject key identifier."""

    __slots__ = ("_after", "_before", "_expected")

    def __init__(self) -> None:
        self._expected: tuple[object, ...] | None = None
        self._before = self._after = b""

    def key_identifier_in(self, extensions: bytes, expected: tuple[object, ...]) -> bytes | None:
        """Return the subject key identifier if all other octets are known to follow the rules; None otherwise.

        ``expected`` are the objects that the rules about extensions compare with. They must be the same objects.
        """
        start, known = len(self._before), self._expected
        if (
            known is None
            or len(extensions) != start + _IDENTIFIER_OCTETS + len(self._after)
            or not extensions.startswith(self._before)
            or not extensions.endswith(self._after)
            or not all(one is other for one, other in zip(known, expected, strict=True))
        ):
            return None
        return extensions[start : start + _IDENTIFIER_OCTETS]

    def remember(self, extensions: bytes, key_identifier: bytes, expected: tuple[object, ...]) -> None:
        """Remember extensions that follow all rules; do nothing if the place of the identifier is not certain."""
        start = extensions.find(_BEGINNING) + len(_BEGINNING)
        end = start + _IDENTIFIER_OCTETS
        if extensions.count(_BEGINNING) == 1 and extensions[start:end] == key_identifier:
            self._before, self._after, self._expected = extensions[:start], extensions[end:], expected
