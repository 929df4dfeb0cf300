"""Owns the condition keys that come from the names in a device's certificate. Does not parse certificates.

``iot:Certificate.Subject.Title`` is an attribute's first value, ``….1`` its second, ``….List`` stands for all of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import TypeAlias

CertificateNames: TypeAlias = Mapping[str, tuple[str, ...]]
"""Values in the certificate's order, by attribute, such as ``Subject.Title`` or ``Issuer.AlternativeName.DNSName``."""

SERIAL_NUMBER = "SerialNumber"
SUBJECT = "Subject"
ISSUER = "Issuer"
# AWS's names of the attributes of a distinguished name, by object identifier (X.520).
ATTRIBUTES: Mapping[str, str] = {
    "2.5.4.46": "DistinguishedNameQualifier",
    "2.5.4.6": "Country",
    "2.5.4.10": "Organization",
    "2.5.4.11": "OrganizationalUnit",
    "2.5.4.8": "State",
    "2.5.4.3": "CommonName",
    "2.5.4.5": "SerialNumber",
    "2.5.4.12": "Title",
    "2.5.4.4": "Surname",
    "2.5.4.42": "GivenName",
    "2.5.4.43": "Initials",
    "2.5.4.65": "Pseudonym",
    "2.5.4.44": "GenerationQualifier",
}


class AlternativeName(StrEnum):
    """AWS's names of the types of alternative names."""

    RFC822_NAME = "RFC822Name"
    DNS_NAME = "DNSName"
    DIRECTORY_NAME = "DirectoryName"
    URI = "UniformResourceIdentifier"
    IP_ADDRESS = "IPAddress"


# AWS's developer guide, "X.509 certificate policy variable limitations".
MAX_VALUES = 5
MAX_VALUE_LENGTH = 1024
_WILDCARDS = frozenset("*$+?#")
_ESCAPED = frozenset(',"\\+=<>;')

CERTIFICATE_PREFIX = "iot:Certificate."
"""The beginning of the condition keys that come from the names in a certificate."""
_AVAILABLE_KEYS = "iot:Certificate.AvailableKeys"
_LIST = ".List"
_ALTERNATIVE_NAME = ".AlternativeName."


def escaped(value: str) -> str:
    """Return a value of a name as policies write it: a backslash before each special character of RFC 4514."""
    return "".join(f"\\{character}" if character in _ESCAPED else character for character in value)


def directory_name(attributes: Iterable[tuple[str, str]]) -> str:
    """Return a name as policies write it (``cn=lamp,o=IoT,c=US``), of keywords and values from the root on."""
    return ",".join(f"{keyword}={escaped(value)}" for keyword, value in reversed(list(attributes)))


def every_name() -> CertificateNames:
    """Return sample names with a value for every attribute and every index that policies can refer to."""
    words = [*ATTRIBUTES.values(), *(f"{_ALTERNATIVE_NAME[1:]}{kind}" for kind in AlternativeName)]
    names = [f"{whose}.{word}" for whose in (SUBJECT, ISSUER) for word in words]
    return {SERIAL_NUMBER: ("1",), **dict.fromkeys(names, ("value",) * MAX_VALUES)}


def certificate_keys(names: CertificateNames) -> dict[str, tuple[str, ...]]:
    """Return the condition keys that a certificate with these names has."""
    bounded = {name: _written(name, values[:MAX_VALUES]) for name, values in names.items() if values}
    keys = {key: values for name, given in bounded.items() for key, values in _variants(name, given)}
    return keys | {_AVAILABLE_KEYS: tuple(CERTIFICATE_PREFIX + name for name in sorted(bounded))}


def unsubstitutable_certificate_keys(keys: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """Return, in lower case, the keys whose values must not replace a policy variable."""
    return frozenset(
        key.lower()
        for key, values in keys.items()
        if key == _AVAILABLE_KEYS or key.endswith(_LIST) or not _is_substitutable(values[0])
    )


def _written(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    # Of the alternative names only a directory name has the form of RFC 4514. It is already written in it.
    return values if _ALTERNATIVE_NAME in name else tuple(escaped(value) for value in values)


def _variants(name: str, values: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    key = CERTIFICATE_PREFIX + name
    yield key, values[:1]
    if name == SERIAL_NUMBER:
        return
    yield key + _LIST, values
    for index, value in enumerate(values):
        yield f"{key}.{index}", (value,)


def _is_substitutable(value: str) -> bool:
    return len(value) <= MAX_VALUE_LENGTH and _WILDCARDS.isdisjoint(value)
