"""Owns the plan of a provisioning template for one device: which thing, certificate and policies it needs.

A plan depends on template, parameters and certificate only. Its executor compares it with what exists.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import InvalidParameters, InvalidRequest
from thingmint.core.identifiers import (
    BillingGroupName,
    CertificateId,
    PolicyName,
    ThingGroupName,
    ThingName,
    ThingTypeName,
    parse_billing_group_name,
    parse_certificate_id,
    parse_policy_name,
    parse_thing_group_name,
    parse_thing_name,
    parse_thing_type_name,
)
from thingmint.core.policies.certificate_variables import CertificateNames
from thingmint.core.provisioning.resources import (
    CERTIFICATE_ID,
    CertificateResource,
    Override,
    PolicyResource,
    Property,
    ThingResource,
    derived_policy_name,
    parse_principal_type,
    parse_status,
)
from thingmint.core.provisioning.template import PSEUDO_PARAMETERS, SUBJECT_PARAMETERS, Template, TemplateKind
from thingmint.core.provisioning.values import Resolution, unresolved
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.thing import ThingPrincipalType
from thingmint.core.registry.thing_group import MAX_GROUPS_OF_A_THING

T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """The device's certificate: its id, and its names with the keys of policy variables."""

    certificate_id: CertificateId
    names: CertificateNames = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ThingPlan:
    """The planned thing, and what to do if it exists already. Values that the template does not give are None."""

    logical_id: str
    name: ThingName
    attributes: Attributes | None
    type_name: ThingTypeName | None
    groups: tuple[ThingGroupName, ...] | None
    billing_group: BillingGroupName | None
    override_attributes: Override
    override_type: Override
    override_groups: Override


@dataclass(frozen=True, slots=True)
class FromSigningRequest:
    """The certificate is to be issued for a signing request in PEM."""

    signing_request: str


@dataclass(frozen=True, slots=True)
class FromId:
    """The certificate is registered already."""

    certificate_id: CertificateId


@dataclass(frozen=True, slots=True)
class FromPem:
    """The certificate is to be registered. Its CA's certificate is needed if several CAs have the same subject."""

    certificate_pem: str
    ca_certificate_pem: str | None


CertificateSource: TypeAlias = FromSigningRequest | FromId | FromPem


@dataclass(frozen=True, slots=True)
class CertificatePlan:
    """The planned certificate, its status, and how it belongs to the thing.

    A certificate that is new or waits for its activation always gets the status. ``override_status`` applies to a
    certificate that is active or inactive already.
    """

    logical_id: str
    source: CertificateSource
    status: CertificateStatus
    override_status: Override
    thing_principal_type: ThingPrincipalType


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """A policy to attach. Without a document it must exist. With one it is created or, if equal, used."""

    logical_id: str
    name: PolicyName
    document: str | None


@dataclass(frozen=True, slots=True)
class ProvisioningPlan:
    """The whole plan of a template."""

    thing: ThingPlan | None
    certificate: CertificatePlan | None
    policies: tuple[PolicyPlan, ...]
    device_configuration: Mapping[str, str]


def plan(
    template: Template, parameters: Mapping[str, str], certificate: CertificateFacts | None = None
) -> ProvisioningPlan:
    """Return the template's plan; raise InvalidParameters if these parameters do not give one.

    Parameters that the template does not declare, and those that only the service may set, are ignored. At a first
    connection every declared parameter needs a value, also if the template does not use it.
    """
    values = _values(template, parameters, certificate)
    if template.kind is TemplateKind.JITP:
        # AWS's guide: the certificate must contain values for all of the parameters in the template body.
        missing = [name for name in template.parameters if name not in values]
        if missing:
            raise unresolved(missing[0])
    resolution = Resolution(values, template.mappings)
    return ProvisioningPlan(
        thing=None if template.thing is None else _thing(template.thing, resolution),
        certificate=None if template.certificate is None else _certificate(template, template.certificate, resolution),
        policies=tuple(_policy(policy, resolution) for policy in template.policies),
        device_configuration={name: value.text(resolution) for name, value in template.device_configuration.items()},
    )


def _values(template: Template, parameters: Mapping[str, str], certificate: CertificateFacts | None) -> dict[str, str]:
    values = {name: default for name, default in template.parameters.items() if default is not None}
    own = PSEUDO_PARAMETERS[template.kind]
    values |= {name: value for name, value in parameters.items() if name in template.parameters and name not in own}
    if certificate is not None:
        known = {CERTIFICATE_ID: (certificate.certificate_id,)} | {
            name: certificate.names.get(attribute, ()) for name, attribute in SUBJECT_PARAMETERS.items()
        }
        values |= {name: given[0] for name, given in known.items() if name in own and given}
    return values


def _thing(thing: ThingResource, resolution: Resolution) -> ThingPlan:
    return ThingPlan(
        logical_id=thing.logical_id,
        name=_named(thing.name, resolution, parse_thing_name),
        attributes=_attributes(thing, resolution),
        type_name=_optional(thing.type_name, resolution, parse_thing_type_name),
        groups=_groups(thing, resolution),
        billing_group=_optional(thing.billing_group, resolution, parse_billing_group_name),
        override_attributes=thing.overrides.get("AttributePayload", Override.DO_NOTHING),
        override_type=thing.overrides.get("ThingTypeName", Override.DO_NOTHING),
        override_groups=thing.overrides.get("ThingGroups", Override.DO_NOTHING),
    )


def _attributes(thing: ThingResource, resolution: Resolution) -> Attributes | None:
    if thing.attributes is None:
        return None
    values = {name: value.text(resolution) for name, value in thing.attributes.items()}
    return _checked(f"{thing.path}.AttributePayload", values, Attributes.of)


def _groups(thing: ThingResource, resolution: Resolution) -> tuple[ThingGroupName, ...] | None:
    if thing.groups is None:
        return None
    path = f"{thing.path}.ThingGroups"
    names = dict.fromkeys(thing.groups.texts(resolution))
    if len(names) > MAX_GROUPS_OF_A_THING:
        raise InvalidParameters(f"{path}: a thing belongs to at most {MAX_GROUPS_OF_A_THING} thing groups")
    return tuple(_checked(path, name, parse_thing_group_name) for name in names)


def _certificate(template: Template, certificate: CertificateResource, resolution: Resolution) -> CertificatePlan:
    # AWS documents no default. An operator who registers things decides the status. A device that registers again
    # must not activate a certificate that an operator has deactivated.
    by_operator = template.kind is TemplateKind.REGISTER_THING
    default = Override.REPLACE if by_operator else Override.DO_NOTHING
    return CertificatePlan(
        logical_id=certificate.logical_id,
        source=_source(certificate, resolution),
        status=_optional(certificate.status, resolution, parse_status) or CertificateStatus.ACTIVE,
        override_status=certificate.overrides.get("Status", default),
        thing_principal_type=_optional(certificate.thing_principal_type, resolution, parse_principal_type)
        or ThingPrincipalType.NON_EXCLUSIVE_THING,
    )


def _source(certificate: CertificateResource, resolution: Resolution) -> CertificateSource:
    match certificate.source:
        case "CertificateSigningRequest":
            return FromSigningRequest(certificate.value.value.text(resolution))
        case "CertificatePem":
            authority = _optional(certificate.ca_certificate_pem, resolution, str)
            return FromPem(certificate.value.value.text(resolution), authority)
        case _:
            return FromId(_named(certificate.value, resolution, parse_certificate_id))


def _policy(policy: PolicyResource, resolution: Resolution) -> PolicyPlan:
    if policy.name is not None:
        return PolicyPlan(policy.logical_id, _named(policy.name, resolution, parse_policy_name), None)
    assert policy.document is not None, "a policy has a name or a document"
    document = policy.document.text(resolution)
    return PolicyPlan(policy.logical_id, derived_policy_name(document), document)


def _named(prop: Property, resolution: Resolution, parse: Callable[[str], T]) -> T:
    return _checked(prop.path, prop.value.text(resolution), parse)


def _optional(prop: Property | None, resolution: Resolution, parse: Callable[[str], T]) -> T | None:
    return None if prop is None else _named(prop, resolution, parse)


def _checked(path: str, value: V, parse: Callable[[V], T]) -> T:
    try:
        return parse(value)
    except InvalidRequest as error:
        raise InvalidParameters(f"{path}: {error.message}") from error
