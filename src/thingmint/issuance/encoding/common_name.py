"""Owns the common name for the search of stored certificates. Does not validate it."""

from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from thingmint.issuance.encoding.odd_names import odd_names_allowed

MAX_CHARACTERS: Final = 256


def common_name_of(der: bytes) -> str | None:
    """Return the subject's first common name, cut to 256 characters; None if there is none that can be stored.

    A malformed name, or one with a NUL or half a surrogate pair, is left out, because databases cannot store it.
    """
    try:
        with odd_names_allowed():
            names = x509.load_der_x509_certificate(der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return None
    value = names[0].value if names else None
    if not isinstance(value, str) or not value or "\0" in value:
        return None
    return value[:MAX_CHARACTERS]
