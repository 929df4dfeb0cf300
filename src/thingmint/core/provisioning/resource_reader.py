"""Owns the reading of resources in provisioning templates: properties and override settings.

It checks everything that does not depend on parameters when the template is created. Errors name the place.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import (
    parse_billing_group_name,
    parse_certificate_id,
    parse_policy_name,
    parse_thing_group_name,
    parse_thing_name,
    parse_thing_type_name,
)
from thingmint.core.provisioning.policy_reader import PolicyReader
from thingmint.core.provisioning.reader import ValueReader, members, plain_text, refused
from thingmint.core.provisioning.resources import (
    CERTIFICATE_ID,
    CertificateResource,
    Override,
    Overrides,
    PolicyResource,
    Property,
    Resource,
    ResourceType,
    ThingResource,
    parse_principal_type,
    parse_status,
)
from thingmint.core.provisioning.values import Items, ListValue, Literal, Reference, TextValue
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.thing import MAX_ATTRIBUTES_WITH_TYPE
from thingmint.core.strict_json import Entry, Members, Node

T = TypeVar("T")

_RESOURCE_KEYS = frozenset({"Type", "Properties", "OverrideSettings"})
_THING_PROPERTIES = frozenset({"ThingName", "AttributePayload", "ThingTypeName", "ThingGroups", "BillingGroup"})
_CERTIFICATE_SOURCES = ("CertificateSigningRequest", "CertificateId", "CertificatePem")
# AWS's guide lists the property as CertificateID and writes CertificateId in all of its examples.
_OTHER_SPELLING = "CertificateID"
_CERTIFICATE_PROPERTIES = frozenset(
    {*_CERTIFICATE_SOURCES, _OTHER_SPELLING, "CACertificatePem", "Status", "ThingPrincipalType"}
)
_POLICY_PROPERTIES = frozenset({"PolicyName", "PolicyDocument"})
_PLAIN_OVERRIDES = frozenset(Override) - {Override.MERGE}
_THING_OVERRIDES = {
    "AttributePayload": frozenset(Override),
    "ThingTypeName": _PLAIN_OVERRIDES,
    "ThingGroups": frozenset(Override),
}
_CERTIFICATE_OVERRIDES = {"Status": _PLAIN_OVERRIDES}
# AWS's guide lists the properties in capitals and writes them as properties in its examples.
_OTHER_OVERRIDES = {
    "ATTRIBUTE_PAYLOAD": "AttributePayload",
    "THING_TYPE_NAME": "ThingTypeName",
    "THING_GROUPS": "ThingGroups",
    "STATUS": "Status",
}


class ResourceReader:
    """Reads resources. ``issued`` means that the certificate is the one that the service just issued or received."""

    def __init__(
        self, values: ValueReader, policy_values: ValueReader, policies: PolicyReader, *, issued: bool
    ) -> None:
        self._values = values
        self._policy_values = policy_values
        self._policies = policies
        self._issued = issued

    def resource(self, logical_id: str, node: Node, path: str) -> Resource:
        """Return the resource; raise InvalidRequest naming the place and the reason if it is malformed."""
        entries = members(node, path, _RESOURCE_KEYS)
        for required in ("Type", "Properties"):
            if required not in entries:
                raise refused(path, f"{required} is missing")
        kind = plain_text(entries["Type"].node, f"{path}.Type")
        properties, overrides = entries["Properties"].node, entries.get("OverrideSettings")
        match kind:
            case ResourceType.THING:
                return self._thing(logical_id, properties, _overrides(overrides, path, _THING_OVERRIDES), path)
            case ResourceType.CERTIFICATE:
                chosen = _overrides(overrides, path, _CERTIFICATE_OVERRIDES)
                return self._certificate(logical_id, properties, chosen, path)
            case ResourceType.POLICY:
                _overrides(overrides, path, {})
                return self._policy(logical_id, properties, path)
            case _:
                raise refused(f"{path}.Type", f"{kind!r} is none of {', '.join(ResourceType)}")

    def _thing(self, logical_id: str, node: Node, overrides: Overrides, path: str) -> ThingResource:
        place = f"{path}.Properties"
        entries = members(node, place, _THING_PROPERTIES)
        name = self._property(entries, "ThingName", place, parse_thing_name)
        if name is None:
            raise refused(place, "ThingName is missing")
        return ThingResource(
            logical_id,
            place,
            name,
            self._attributes(entries.get("AttributePayload"), f"{place}.AttributePayload"),
            self._property(entries, "ThingTypeName", place, parse_thing_type_name),
            self._groups(entries.get("ThingGroups"), f"{place}.ThingGroups"),
            self._property(entries, "BillingGroup", place, parse_billing_group_name),
            overrides,
        )

    def _attributes(self, entry: Entry | None, path: str) -> Mapping[str, TextValue] | None:
        if entry is None:
            return None
        entries = members(entry.node, path)
        nested = entries.get("attributes")
        if nested is not None and isinstance(nested.node.value, Members):
            # The form of CreateThing and of CloudFormation.
            raise refused(path, "a template has names and values here, without an object 'attributes' around them")
        if len(entries) > MAX_ATTRIBUTES_WITH_TYPE:
            raise refused(path, f"a thing has at most {MAX_ATTRIBUTES_WITH_TYPE} attributes, not {len(entries)}")
        attributes = {name: self._values.text(each.node, f"{path}.{name}") for name, each in entries.items()}
        literals = {name: value.value for name, value in attributes.items() if isinstance(value, Literal)}
        _checked(path, Attributes.of, literals | dict.fromkeys(attributes.keys() - literals.keys(), ""))
        return attributes

    def _groups(self, entry: Entry | None, path: str) -> ListValue | None:
        if entry is None:
            return None
        groups = self._values.listing(entry.node, path)
        _check_literals(groups.elements if isinstance(groups, Items) else (), path, parse_thing_group_name)
        return groups

    def _certificate(self, logical_id: str, node: Node, overrides: Overrides, path: str) -> CertificateResource:
        place = f"{path}.Properties"
        entries = members(node, place, _CERTIFICATE_PROPERTIES)
        if _OTHER_SPELLING in entries and "CertificateId" not in entries:
            entries["CertificateId"] = entries.pop(_OTHER_SPELLING)
        present = [source for source in (*_CERTIFICATE_SOURCES, _OTHER_SPELLING) if source in entries]
        if len(present) != 1:
            raise refused(place, f"exactly one of {', '.join(_CERTIFICATE_SOURCES)} is expected")
        check = parse_certificate_id if present[0] == "CertificateId" else None
        value = self._property(entries, present[0], place, check)
        assert value is not None, "the property is present"
        if self._issued and value.value != Reference(CERTIFICATE_ID):
            raise refused(
                place, f'the certificate of this type of template is CertificateId {{"Ref": "{CERTIFICATE_ID}"}}'
            )
        if "CACertificatePem" in entries and present[0] != "CertificatePem":
            raise refused(place, "CACertificatePem belongs to CertificatePem")
        return CertificateResource(
            logical_id,
            present[0],
            value,
            self._property(entries, "CACertificatePem", place),
            self._property(entries, "Status", place, parse_status),
            self._property(entries, "ThingPrincipalType", place, parse_principal_type),
            overrides,
        )

    def _policy(self, logical_id: str, node: Node, path: str) -> PolicyResource:
        place = f"{path}.Properties"
        entries = members(node, place, _POLICY_PROPERTIES)
        if len(entries) != 1:
            raise refused(place, "exactly one of PolicyName, PolicyDocument is expected")
        if "PolicyDocument" in entries:
            document = self._policies.document(entries["PolicyDocument"].node, f"{place}.PolicyDocument")
            return PolicyResource(logical_id, None, document)
        name_path = f"{place}.PolicyName"
        name = self._policy_values.text(entries["PolicyName"].node, name_path)
        _check_literals([name], name_path, parse_policy_name)
        return PolicyResource(logical_id, Property(name_path, name), None)

    def _property(
        self, entries: Mapping[str, Entry], name: str, place: str, check: Callable[[str], object] | None = None
    ) -> Property | None:
        if name not in entries:
            return None
        path = f"{place}.{name}"
        value = self._values.text(entries[name].node, path)
        if check is not None:
            _check_literals([value], path, check)
        return Property(path, value)


def _overrides(entry: Entry | None, path: str, known: Mapping[str, frozenset[Override]]) -> Overrides:
    if entry is None:
        return {}
    place = f"{path}.OverrideSettings"
    if not known:
        raise refused(place, "policies have none")
    chosen: dict[str, Override] = {}
    for written, each in members(entry.node, place).items():
        name = _OTHER_OVERRIDES.get(written, written)
        if name not in known:
            raise refused(place, f"{written!r} is not known here; {', '.join(sorted(known))} are")
        if name in chosen:
            raise refused(place, f"{name} is given twice, once in capitals")
        setting = plain_text(each.node, f"{place}.{written}")
        if setting not in known[name]:
            raise refused(f"{place}.{written}", f"{setting!r} is none of {', '.join(sorted(known[name]))}")
        chosen[name] = Override(setting)
    return chosen


def _check_literals(values: Iterable[TextValue], path: str, check: Callable[[str], object]) -> None:
    for value in values:
        if isinstance(value, Literal):
            _checked(path, check, value.value)


def _checked(path: str, check: Callable[[T], object], value: T) -> None:
    try:
        check(value)
    except InvalidRequest as error:
        raise refused(path, error.message) from error
