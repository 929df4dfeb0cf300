"""Owns which subject names a certificate can have. Never changes a name."""

import re

from thingmint.core.errors import InvalidRequest
from thingmint.issuance.encoding.der import children, only_element

_MAX_ATTRIBUTES = 16
_MAX_OCTETS = 4096
_DEFAULT_BOUND = 256

# The string types of RFC 5280, 4.1.2.4, with one meaning everywhere. TeletexString and UniversalString are left out,
# because the RFC warns against them and implementations disagree about their characters.
_ENCODINGS = {0x0C: ("UTF8String", "utf-8"), 0x13: ("PrintableString", "ascii"), 0x16: ("IA5String", "ascii"),
              0x1E: ("BMPString", "utf-16-be")}  # fmt: skip
_PRINTABLE = re.compile(r"[A-Za-z0-9 '()+,\-./:=?]*")
# Of ASCII and of ISO 8859 (C1), as Unicode has both.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

# RFC 5280, appendix A.1, upper bounds in characters; by the content octets of the attribute's object identifier.
_BOUNDS = {
    b"\x55\x04\x03": ("commonName", 1, 64),
    b"\x55\x04\x05": ("serialNumber", 1, 64),
    b"\x55\x04\x06": ("countryName", 2, 2),
    b"\x55\x04\x07": ("localityName", 1, 128),
    b"\x55\x04\x08": ("stateOrProvinceName", 1, 128),
    b"\x55\x04\x0a": ("organizationName", 1, 64),
    b"\x55\x04\x0b": ("organizationalUnitName", 1, 64),
    b"\x55\x04\x0c": ("title", 1, 64),
    b"\x55\x04\x41": ("pseudonym", 1, 128),
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01": ("emailAddress", 1, 255),
    # X.520's ISO 3166 code again, with the object identifier of EV certificates.
    b"\x2b\x06\x01\x04\x01\x82\x37\x3c\x02\x01\x03": ("jurisdictionCountryName", 2, 2),
}


class SubjectRefused(InvalidRequest):
    """A subject name is malformed, or larger than any device needs."""


def check_subject(encoded: bytes) -> None:
    """Raise SubjectRefused unless a certificate can have this Name (in DER). An empty name is accepted."""
    if len(encoded) > _MAX_OCTETS:
        raise SubjectRefused(f"The subject has {len(encoded)} octets, more than {_MAX_OCTETS}")
    try:
        relative_names = [
            [
                (encoded[kind.content : kind.end], value.tag, encoded[value.content : value.end])
                for attribute in children(encoded, relative_name)
                for kind, value in [children(encoded, attribute)]
            ]
            for relative_name in children(encoded, only_element(encoded))
        ]
    except ValueError as error:
        raise SubjectRefused("The subject is malformed") from error
    count = sum(map(len, relative_names))
    if count > _MAX_ATTRIBUTES:
        raise SubjectRefused(f"The subject has {count} attributes, more than {_MAX_ATTRIBUTES}")
    for attributes in relative_names:
        # X.501, 9.3: a relative name is a set of attributes and not empty. A text is the same in each string type.
        texts = {(kind, _checked_text(kind, tag, octets)) for kind, tag, octets in attributes}
        if not texts or len(texts) < len(attributes):
            raise SubjectRefused("The subject has a relative name that is empty or has an attribute twice")


def _checked_text(kind: bytes, tag: int, octets: bytes) -> str:
    name, least, most = _BOUNDS.get(kind, ("attribute", 1, _DEFAULT_BOUND))
    if tag not in _ENCODINGS:
        raise SubjectRefused(f"The subject's {name} is not a UTF8String, PrintableString, IA5String or BMPString")
    type_name, encoding = _ENCODINGS[tag]
    try:
        text = octets.decode(encoding)
    except UnicodeDecodeError as error:
        raise SubjectRefused(f"The subject's {name} is not a valid {type_name}") from error
    if type_name == "PrintableString" and not _PRINTABLE.fullmatch(text):
        raise SubjectRefused(f"The subject's {name} has characters that a PrintableString cannot have")
    if type_name == "BMPString" and not text.isascii() and max(text) > "\uffff":
        raise SubjectRefused(f"The subject's {name} has characters that a BMPString cannot have")
    if _CONTROL.search(text):
        raise SubjectRefused(f"The subject's {name} has a NUL or another control character")
    if not least <= len(text) <= most:
        length = f"{least}" if least == most else f"{least} to {most}"
        raise SubjectRefused(f"The subject's {name} has {len(text)} characters; it must have {length}")
    return text
