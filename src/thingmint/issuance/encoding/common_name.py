"""Owns the common name by which a certificate is looked for; validates nothing, because what it reads is stored."""

from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from thingmint.issuance.encoding.odd_names import odd_names_allowed

MAX_CHARACTERS: Final = 256


def common_name_of(der: bytes) -> str | None:
    """Return the first common name of the subject, cut to 256 characters; None if there is none that can be stored.

    A name that cannot be read, or has a NUL or half a surrogate pair, counts as none: no text of a database holds it.
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
