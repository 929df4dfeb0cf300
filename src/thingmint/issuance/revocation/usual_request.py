"""Owns the reading of OCSP requests in the form that most clients send (RFC 6960, 4.1.1). Refuses all other forms.

The form: one certificate, named by SHA-1 or SHA-256; no extension other than a nonce of at most 64 octets; no
signature. Everything before the serial number has one length, so a request is read by its places. A request is
recognized only if it has exactly the bytes to which its content would be encoded.
"""

from typing import NamedTuple

_SHA1 = bytes.fromhex("300906052b0e03021a05000414")
_SHA256 = bytes.fromhex("300d060960864801650304020105000420")
_OCTET_STRING, _SEQUENCE, _EXPLICIT_2 = 0x04, 0x30, 0xA2
# id-pkix-ocsp-nonce (RFC 9654, 2.1), and the identifier octet of the extension's value.
_NONCE = bytes.fromhex("06092b060105050730010204")
# RFC 5280, 4.1.2.2, has at most 20. Any length up to this keeps the lengths below in one octet.
_MOST_NUMBER_OCTETS = 21
_MOST_NONCE_OCTETS = 64
_SHORT = 0x80


class _Form(NamedTuple):
    """How one digest names an issuer: the bytes before its first digest, and the length of a digest."""

    algorithm: str
    head: bytes
    digest: int

    @property
    def before_number(self) -> int:
        """The length of a CertID before the value of its serial number."""
        return len(self.head) + 2 * self.digest + 4


_FORMS = (_Form("sha1", _SHA1, 20), _Form("sha256", _SHA256, 32))


def read_usual_request(der: bytes) -> tuple[str, bytes, bytes, int, bytes | None] | None:
    """Return algorithm, digests of the issuer's name and key, serial number and nonce; None for another form."""
    # The lists around a certificate are at the end of the request's head, whose length has one or two octets.
    start = 12 if der[1:2] == b"\x81" and der[4:5] == b"\x81" else 11 if der[1:2] == b"\x81" else 10
    for form in _FORMS:
        if der.startswith(form.head, start):
            return _read(der, start, form)
    return None


def _read(der: bytes, start: int, form: _Form) -> tuple[str, bytes, bytes, int, bytes | None] | None:
    name_at = start + len(form.head)
    key_at = name_at + form.digest + 2
    number_at = start + form.before_number
    length = der[number_at - 1] if number_at <= len(der) else 0
    number = der[number_at : number_at + length]
    if not 1 <= length <= _MOST_NUMBER_OCTETS or len(number) != length or not _is_shortest(number):
        return None
    nonce_at = number_at + length
    nonce = None
    if nonce_at < len(der):
        nonce = der[nonce_at + len(_NONCE) + 9 :]
        if not 1 <= len(nonce) <= _MOST_NONCE_OCTETS:
            return None
    issuer_name_hash, issuer_key_hash = der[name_at : name_at + form.digest], der[key_at : key_at + form.digest]
    if der != _encoded(form, issuer_name_hash, issuer_key_hash, number, nonce):
        return None
    return form.algorithm, issuer_name_hash, issuer_key_hash, int.from_bytes(number, "big", signed=True), nonce


def _is_shortest(number: bytes) -> bool:
    # X.690, 8.3.2: the first nine bits are not all equal.
    return len(number) == 1 or (
        not (number[0] == 0 and number[1] < _SHORT) and not (number[0] == 0xFF and number[1] >= _SHORT)
    )


def _encoded(form: _Form, issuer_name_hash: bytes, issuer_key_hash: bytes, number: bytes, nonce: bytes | None) -> bytes:
    size = form.before_number + len(number)
    listed = b"%b%b\x04%c%b\x02%c%b" % (
        bytes((_SEQUENCE, size + 4, _SEQUENCE, size + 2, _SEQUENCE, size)) + form.head,
        issuer_name_hash,
        form.digest,
        issuer_key_hash,
        len(number),
        number,
    )
    if nonce is not None:
        octets = len(nonce)
        listed += b"%b%b%b%b" % (
            bytes((_EXPLICIT_2, octets + 19, _SEQUENCE, octets + 17, _SEQUENCE, octets + 15)),
            _NONCE,
            bytes((octets + 2, _OCTET_STRING, octets)),
            nonce,
        )
    return _sequence(_sequence(listed))


def _sequence(content: bytes) -> bytes:
    length = len(content)
    return (b"\x30%c%b" if length < _SHORT else b"\x30\x81%c%b") % (length, content)
