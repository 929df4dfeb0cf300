"""Owns the parsed provisioning template. Independent of devices and of storage.

One grammar has three uses: fleet provisioning, provisioning of devices with certificates of the user's own CA when they
first connect (JITP), and registration of one or many things by an operator.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

from thingmint.core.errors import InvalidRequest
from thingmint.core.policies.stored_policy import MAX_POLICIES_OF_A_TARGET
from thingmint.core.provisioning.policy_reader import PolicyReader
from thingmint.core.provisioning.reader import (
    JOIN,
    ValueReader,
    is_function,
    members,
    plain_text,
    read_mappings,
    refused,
)
from thingmint.core.provisioning.resource_reader import ResourceReader
from thingmint.core.provisioning.resources import (
    CERTIFICATE_ID,
    CertificateResource,
    PolicyResource,
    Resource,
    ThingResource,
)
from thingmint.core.provisioning.values import Mappings, TextValue
from thingmint.core.strict_json import Entry, Malformed, Members, Node, position, read_json

T = TypeVar("T", ThingResource, CertificateResource)

# TemplateBody in the service model.
MAX_CHARACTERS = 10_240
# A policy document begins at level five and has six more levels. The rest is for nested functions.
MAX_DEPTH = 24

_TEMPLATE = "the template"
_BYTE_ORDER_MARK = "\ufeff"
_SECTIONS = frozenset({"Parameters", "Mappings", "Resources", "DeviceConfiguration"})
_PARAMETER_KEYS = frozenset({"Type", "Default"})
_RESERVED = "AWS::IoT::Certificate::"

# The parameters that JITP takes from the subject of the device's certificate, with the keys of policy variables.
SUBJECT_PARAMETERS = {
    f"{_RESERVED}Country": "Subject.Country",
    f"{_RESERVED}Organization": "Subject.Organization",
    f"{_RESERVED}OrganizationalUnit": "Subject.OrganizationalUnit",
    f"{_RESERVED}DistinguishedNameQualifier": "Subject.DistinguishedNameQualifier",
    f"{_RESERVED}StateName": "Subject.State",
    f"{_RESERVED}CommonName": "Subject.CommonName",
    f"{_RESERVED}SerialNumber": "Subject.SerialNumber",
}


class TemplateKind(Enum):
    """The use of a template."""

    FLEET_PROVISIONING = "FLEET_PROVISIONING"
    JITP = "JITP"
    REGISTER_THING = "REGISTER_THING"


# The parameters that only the service sets.
PSEUDO_PARAMETERS: dict[TemplateKind, frozenset[str]] = {
    TemplateKind.FLEET_PROVISIONING: frozenset({CERTIFICATE_ID}),
    TemplateKind.JITP: frozenset({CERTIFICATE_ID, *SUBJECT_PARAMETERS}),
    TemplateKind.REGISTER_THING: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A valid template of its kind. Two templates with the same text and kind are equal.

    ``parameters`` maps the declared names to their defaults, None if a parameter has no default.
    """

    text: str
    kind: TemplateKind
    parameters: Mapping[str, str | None] = field(repr=False, compare=False)
    mappings: Mappings = field(repr=False, compare=False)
    thing: ThingResource | None = field(repr=False, compare=False)
    certificate: CertificateResource | None = field(repr=False, compare=False)
    policies: tuple[PolicyResource, ...] = field(repr=False, compare=False)
    device_configuration: Mapping[str, TextValue] = field(repr=False, compare=False)


def parse_template(text: str, kind: TemplateKind) -> Template:
    """Return the template; raise InvalidRequest with the place and the reason if the text is not valid for its kind."""
    sections = members(_read(text), _TEMPLATE, _SECTIONS)
    if "Resources" not in sections:
        raise refused(_TEMPLATE, "Resources is missing")
    parameters = _parameters(sections.get("Parameters"), kind)
    mappings = read_mappings(sections["Mappings"].node, "Mappings") if "Mappings" in sections else {}
    names = frozenset(parameters) | PSEUDO_PARAMETERS[kind]
    values = ValueReader(names, mappings)
    policy_values = ValueReader(names, mappings, without=frozenset({JOIN}))
    device_configuration = _device_configuration(sections.get("DeviceConfiguration"), values)
    # Some tools write an empty one into templates of every kind.
    if device_configuration and kind is not TemplateKind.FLEET_PROVISIONING:
        raise refused("DeviceConfiguration", "only templates for fleet provisioning have one")
    documents = PolicyReader(policy_values, parameters, mappings)
    reader = ResourceReader(values, policy_values, documents, issued=kind is not TemplateKind.REGISTER_THING)
    resources = list(_resources(sections["Resources"].node, reader))
    certificate = _at_most_one(resources, CertificateResource)
    policies = tuple(resource for resource in resources if isinstance(resource, PolicyResource))
    if certificate is not None and len(policies) > MAX_POLICIES_OF_A_TARGET:
        limit = f"a certificate has at most {MAX_POLICIES_OF_A_TARGET}"
        raise refused("Resources", f"{len(policies)} policies are declared, and {limit}")
    if certificate is None and kind is not TemplateKind.REGISTER_THING:
        raise refused("Resources", "a certificate is missing: the device's own would never become active")
    return Template(
        text=text,
        kind=kind,
        parameters=parameters,
        mappings=mappings,
        thing=_at_most_one(resources, ThingResource),
        certificate=certificate,
        policies=policies,
        device_configuration=device_configuration,
    )


def _read(text: str) -> Node:
    if len(text) > MAX_CHARACTERS:
        raise refused(_TEMPLATE, f"it has {len(text)} characters, more than {MAX_CHARACTERS}")
    if text.startswith(_BYTE_ORDER_MARK):
        raise refused(_TEMPLATE, "line 1, column 1: a byte order mark stands before the text; save it without one")
    try:
        return read_json(text, MAX_DEPTH)
    except Malformed as error:
        raise refused(_TEMPLATE, f"{position(text, error.offset)}: {error.reason}") from error


def _parameters(entry: Entry | None, kind: TemplateKind) -> Mapping[str, str | None]:
    if entry is None:
        return {}
    parameters: dict[str, str | None] = {}
    for name, declared in members(entry.node, "Parameters").items():
        path = f"Parameters.{name}"
        if name.startswith(_RESERVED) and PSEUDO_PARAMETERS[kind] and name not in PSEUDO_PARAMETERS[kind]:
            raise refused(path, f"names that begin with {_RESERVED} are the service's own, and this is none of them")
        entries = members(declared.node, path, _PARAMETER_KEYS)
        if "Type" not in entries or plain_text(entries["Type"].node, f"{path}.Type") != "String":
            raise refused(f"{path}.Type", "String is expected")
        default = entries.get("Default")
        parameters[name] = None if default is None else plain_text(default.node, f"{path}.Default")
    return parameters


def _resources(node: Node, reader: ResourceReader) -> Iterator[Resource]:
    for logical_id, entry in members(node, "Resources").items():
        yield reader.resource(logical_id, entry.node, f"Resources.{logical_id}")


def _at_most_one(resources: list[Resource], kind: type[T]) -> T | None:
    found = [resource for resource in resources if isinstance(resource, kind)]
    if len(found) > 1:
        raise refused("Resources", "at most one thing and one certificate can be declared")
    return found[0] if found else None


def _device_configuration(entry: Entry | None, values: ValueReader) -> Mapping[str, TextValue]:
    if entry is None:
        return {}
    configuration = {}
    for name, each in members(entry.node, "DeviceConfiguration").items():
        path = f"DeviceConfiguration.{name}"
        try:
            configuration[name] = values.text(each.node, path)
        except InvalidRequest as error:
            if isinstance(each.node.value, Members) and not is_function(each.node.value):
                raise InvalidRequest(f"{error.message}; objects inside objects are not supported") from error
            raise
    return configuration
