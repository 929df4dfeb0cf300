"""Owns the common name for the search of stored certificates. Does not validate it."""

from typing import Final

from cryptography.x509.oid import NameOID

from thingmint.issuance.encoding.der import children, only_element
from thingmint.issuance.encoding.odd_names import odd_names_allowed
from thingmint.issuance.encoding.parsing import certificate_in_der

MAX_CHARACTERS: Final = 256
# The object identifier 2.5.4.3 in DER.
_COMMON_NAME: Final = b"\x06\x03\x55\x04\x03"
_BMP_STRING: Final = 0x1E


def common_name_of_name(name_der: bytes) -> str | None:
    """Return the same of a Name in DER that `check_subject` accepts. Does not use the library, which is slower."""
    for relative_name in children(name_der, only_element(name_der)):
        for attribute in children(name_der, relative_name):
            kind, value = children(name_der, attribute)
            if name_der[kind.start : kind.end] == _COMMON_NAME:
                encoding = "utf-16-be" if value.tag == _BMP_STRING else "utf-8"
                return _stored(name_der[value.content : value.end].decode(encoding))
    return None


def common_name_of(der: bytes) -> str | None:
    """Return the subject's first common name, cut to 256 characters; None if there is none that can be stored.

    A malformed name, or one with a NUL or half a surrogate pair, is left out, because databases cannot store it.
    """
    try:
        with odd_names_allowed():
            names = certificate_in_der(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, TypeError):  # The library raises TypeError for a BIT STRING.
        return None
    value = names[0].value if names else None
    return _stored(value) if isinstance(value, str) else None


def _stored(value: str) -> str | None:
    return None if not value or "\0" in value else value[:MAX_CHARACTERS]
