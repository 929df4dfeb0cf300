"""Owns the resources that provisioning templates declare, and the words for what shall become of them.

Does not know how templates are written; the plan works out the result of one for one device.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias, TypeVar

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import PolicyName
from thingmint.core.provisioning.policy import Document
from thingmint.core.provisioning.values import ListValue, TextValue
from thingmint.core.registry.thing import ThingPrincipalType

T = TypeVar("T")

CERTIFICATE_ID = "AWS::IoT::Certificate::Id"

_NAME_LENGTH = 40


class ResourceType(StrEnum):
    """The types of resources."""

    THING = "AWS::IoT::Thing"
    CERTIFICATE = "AWS::IoT::Certificate"
    POLICY = "AWS::IoT::Policy"


class Override(StrEnum):
    """What to do with a property of a resource that exists already."""

    DO_NOTHING = "DO_NOTHING"
    REPLACE = "REPLACE"
    FAIL = "FAIL"
    MERGE = "MERGE"


_STATUSES = {str(status): status for status in (CertificateStatus.ACTIVE, CertificateStatus.INACTIVE)}
_PRINCIPAL_TYPES = {str(kind): kind for kind in ThingPrincipalType}
Overrides: TypeAlias = Mapping[str, Override]


@dataclass(frozen=True, slots=True)
class Property:
    """A value and where the template has it."""

    path: str
    value: TextValue


@dataclass(frozen=True, slots=True)
class ThingResource:
    """A thing as a template declares it; None for what it says nothing about."""

    logical_id: str
    path: str
    name: Property
    attributes: Mapping[str, TextValue] | None
    type_name: Property | None
    groups: ListValue | None
    billing_group: Property | None
    overrides: Overrides


@dataclass(frozen=True, slots=True)
class CertificateResource:
    """A certificate as a template declares it: ``source`` is the name of the property that tells which one."""

    logical_id: str
    source: str
    value: Property
    ca_certificate_pem: Property | None
    status: Property | None
    thing_principal_type: Property | None
    overrides: Overrides


@dataclass(frozen=True, slots=True)
class PolicyResource:
    """A policy as a template declares it: one that exists, by its name, or a document."""

    logical_id: str
    name: Property | None
    document: Document | None


Resource: TypeAlias = ThingResource | CertificateResource | PolicyResource


def derived_policy_name(document: str) -> PolicyName:
    """Return the name of a policy that a template gives as a document: the same for the same document."""
    # Forty digits, as AWS's names have. Of SHA-256, so that nobody can make two documents of one name.
    return PolicyName(hashlib.sha256(document.encode()).hexdigest()[:_NAME_LENGTH].upper())


def parse_status(text: str) -> CertificateStatus:
    """Return the status, written in upper or lower case; raise InvalidRequest unless a template may ask for it."""
    return _choice(text, _STATUSES)


def parse_principal_type(text: str) -> ThingPrincipalType:
    """Return how a certificate shall belong to its thing; raise InvalidRequest if there is no such way."""
    return _choice(text, _PRINCIPAL_TYPES)


def _choice(text: str, choices: Mapping[str, T]) -> T:
    # AWS's examples write Active as well as ACTIVE.
    chosen = choices.get(text.upper())
    if chosen is None:
        raise InvalidRequest(f"{text!r} is none of {', '.join(choices)}")
    return chosen
