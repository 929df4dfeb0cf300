"""Owns the resources that provisioning templates declare and their override settings.

Independent of the syntax of templates. The plan computes the resources for one device.
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
    """A value and its place in the template."""

    path: str
    value: TextValue


@dataclass(frozen=True, slots=True)
class ThingResource:
    """A thing in a template. Properties that the template does not give are None."""

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
    """A certificate in a template. ``source`` is the name of the property that identifies it."""

    logical_id: str
    source: str
    value: Property
    ca_certificate_pem: Property | None
    status: Property | None
    thing_principal_type: Property | None
    overrides: Overrides


@dataclass(frozen=True, slots=True)
class PolicyResource:
    """A policy in a template: the name of an existing policy, or a document."""

    logical_id: str
    name: Property | None
    document: Document | None


Resource: TypeAlias = ThingResource | CertificateResource | PolicyResource


def derived_policy_name(document: str) -> PolicyName:
    """Return the name of a policy that a template gives as a document. Equal documents get the same name."""
    # Forty digits as in AWS's names, of SHA-256, so that no two different documents with one name can be made.
    return PolicyName(hashlib.sha256(document.encode()).hexdigest()[:_NAME_LENGTH].upper())


def parse_status(text: str) -> CertificateStatus:
    """Return the status of an upper-case or lower-case text; raise InvalidRequest unless templates can set it."""
    return _choice(text, _STATUSES)


def parse_principal_type(text: str) -> ThingPrincipalType:
    """Return how a certificate belongs to its thing; raise InvalidRequest for an unknown type."""
    return _choice(text, _PRINCIPAL_TYPES)


def _choice(text: str, choices: Mapping[str, T]) -> T:
    # AWS's examples write Active as well as ACTIVE.
    chosen = choices.get(text.upper())
    if chosen is None:
        raise InvalidRequest(f"{text!r} is none of {', '.join(choices)}")
    return chosen
