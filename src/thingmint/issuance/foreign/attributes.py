"""Owns the values of the names in a device's certificate that policies refer to. Does not check trust.

Device certificates are untrusted input. A part that cannot be parsed is left out, and the rest is parsed.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from thingmint.core.policies.certificate_variables import (
    ATTRIBUTES,
    ISSUER,
    SERIAL_NUMBER,
    SUBJECT,
    AlternativeName,
    CertificateNames,
    directory_name,
)
from thingmint.issuance.encoding.odd_names import odd_names_allowed
from thingmint.issuance.encoding.parsing import READING_ERRORS, certificate_in_der

T = TypeVar("T")

# RFC 4514, 3: the keywords that every implementation supports. Other attributes are written as object identifiers.
_KEYWORDS = {
    NameOID.COMMON_NAME: "cn",
    NameOID.LOCALITY_NAME: "l",
    NameOID.STATE_OR_PROVINCE_NAME: "st",
    NameOID.ORGANIZATION_NAME: "o",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "ou",
    NameOID.COUNTRY_NAME: "c",
    NameOID.STREET_ADDRESS: "street",
    NameOID.DOMAIN_COMPONENT: "dc",
    NameOID.USER_ID: "uid",
}
_ALTERNATIVES: list[tuple[str, type[x509.SubjectAlternativeName | x509.IssuerAlternativeName]]] = [
    (SUBJECT, x509.SubjectAlternativeName),
    (ISSUER, x509.IssuerAlternativeName),
]


def certificate_attributes(der: bytes) -> CertificateNames:
    """Return the values of the certificate's names by the keys of policies, as far as they can be parsed."""
    certificate = _readable(lambda: certificate_in_der(der))
    if certificate is None:
        return {}
    found: dict[str, list[str]] = defaultdict(list)
    found[SERIAL_NUMBER].append(str(certificate.serial_number))
    _read_name(found, SUBJECT, _readable(lambda: certificate.subject))
    _read_name(found, ISSUER, _readable(lambda: certificate.issuer))
    _read_alternatives(found, _readable(lambda: certificate.extensions))
    return {name: tuple(values) for name, values in found.items()}


def _readable(read: Callable[[], T]) -> T | None:
    # `cryptography` raises TypeError for an attribute that is not text although it must be.
    try:
        with odd_names_allowed():
            return read()
    except READING_ERRORS:
        return None


def _read_name(found: dict[str, list[str]], whose: str, name: x509.Name | None) -> None:
    for attribute in name or ():
        word = ATTRIBUTES.get(attribute.oid.dotted_string)
        if word is not None and isinstance(attribute.value, str):
            found[f"{whose}.{word}"].append(attribute.value)


def _read_alternatives(found: dict[str, list[str]], extensions: x509.Extensions | None) -> None:
    for whose, kind in _ALTERNATIVES:
        for extension in extensions or ():
            if isinstance(extension.value, kind):
                for name in extension.value:
                    _read_alternative(found, f"{whose}.AlternativeName", name)


def _read_alternative(found: dict[str, list[str]], whose: str, name: x509.GeneralName) -> None:
    match name:
        case x509.RFC822Name():
            found[f"{whose}.{AlternativeName.RFC822_NAME}"].append(name.value)
        case x509.DNSName():
            found[f"{whose}.{AlternativeName.DNS_NAME}"].append(name.value)
        case x509.UniformResourceIdentifier():
            found[f"{whose}.{AlternativeName.URI}"].append(name.value)
        case x509.IPAddress():
            found[f"{whose}.{AlternativeName.IP_ADDRESS}"].append(str(name.value))
        case x509.DirectoryName():
            attributes = [(_KEYWORDS.get(each.oid, each.oid.dotted_string), str(each.value)) for each in name.value]
            found[f"{whose}.{AlternativeName.DIRECTORY_NAME}"].append(directory_name(attributes))
        case _:
            # Policies have no key for it.
            return
