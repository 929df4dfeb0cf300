"""Owns the provisioning template of a device: devices with the same kinds of values share one template.

The thing gets the override setting FAIL: of two requests for one name, the first one creates the thing, and the second
one changes nothing, whenever they are served. So a request can be repeated after a lost answer.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from thingmint.cli.devices.device import ListedDevice
from thingmint.core.errors import InvalidRequest
from thingmint.core.provisioning.plan import ProvisioningPlan, plan
from thingmint.core.provisioning.resources import CERTIFICATE_ID
from thingmint.core.provisioning.template import Template, TemplateKind, parse_template

THING_NAME, SIGNING_REQUEST = "ThingName", "SigningRequest"
CERTIFICATE_PEM, CA_CERTIFICATE_PEM, CERTIFICATE_ID_PARAMETER = "CertificatePem", "CACertificatePem", "CertificateId"
_FAIL = {"AttributePayload": "FAIL", "ThingTypeName": "FAIL", "ThingGroups": "FAIL"}


class TemplateShape(NamedTuple):
    """The common properties of devices with one template. ``source`` is the source of the certificate."""

    source: str
    attributes: tuple[str, ...]
    has_type: bool
    groups: int
    policies: int
    status: str


def shape_of(device: ListedDevice, source: str, status: str) -> TemplateShape:
    """Return the shape of a device."""
    attributes = tuple(sorted(device.attributes))
    return TemplateShape(source, attributes, device.type is not None, len(device.groups), len(device.policies), status)


@lru_cache(maxsize=1024)
def shape_body(shape: TemplateShape) -> str:
    """Return the template of a shape as JSON, for RegisterThing and StartThingRegistrationTask."""
    names = [THING_NAME, shape.source, *(["Type"] if shape.has_type else [])]
    attributes = {name: f"Attribute{number}" for number, name in enumerate(shape.attributes, start=1)}
    groups = [f"Group{number}" for number in range(1, shape.groups + 1)]
    policies = [f"Policy{number}" for number in range(1, shape.policies + 1)]
    thing: dict[str, object] = {"ThingName": _ref(THING_NAME)}
    if attributes:
        thing["AttributePayload"] = {name: _ref(parameter) for name, parameter in attributes.items()}
    if shape.has_type:
        thing["ThingTypeName"] = _ref("Type")
    if groups:
        thing["ThingGroups"] = [_ref(name) for name in groups]
    certificate: dict[str, object] = {"Status": shape.status}
    match shape.source:
        case "SigningRequest":
            certificate["CertificateSigningRequest"] = _ref(SIGNING_REQUEST)
        case "CertificatePem":
            certificate |= {CERTIFICATE_PEM: _ref(CERTIFICATE_PEM), CA_CERTIFICATE_PEM: _ref(CA_CERTIFICATE_PEM)}
            names.append(CA_CERTIFICATE_PEM)
        case _:
            certificate["CertificateId"] = _ref(CERTIFICATE_ID_PARAMETER)
    resources: dict[str, dict[str, object]] = {
        "thing": {"Type": "AWS::IoT::Thing", "Properties": thing, "OverrideSettings": _FAIL},
        "certificate": {"Type": "AWS::IoT::Certificate", "Properties": certificate},
    }
    if shape.source != SIGNING_REQUEST:
        # An existing certificate may have got another status meanwhile; it keeps that status.
        resources["certificate"]["OverrideSettings"] = {"Status": "DO_NOTHING"}
    for name in policies:
        resources[name.lower()] = {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": _ref(name)}}
    parameters = {name: {"Type": "String"} for name in (*names, *attributes.values(), *groups, *policies)}
    return json.dumps({"Parameters": parameters, "Resources": resources})


def shape_parameters(device: ListedDevice, source: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a device for the template of its shape; ``source`` has those of its certificate."""
    attributes = [device.attributes[name] for name in sorted(device.attributes)]
    return {
        THING_NAME: device.thing,
        **source,
        **({} if device.type is None else {"Type": device.type}),
        **{f"Attribute{number}": value for number, value in enumerate(attributes, start=1)},
        **{f"Group{number}": name for number, name in enumerate(device.groups, start=1)},
        **{f"Policy{number}": name for number, name in enumerate(device.policies, start=1)},
    }


def own_template(text: str, status: str) -> str:
    """Return an operator's template, changed to take the certificate from a CSR and to FAIL for an existing thing.

    Templates of fleet provisioning, whose certificate is `AWS::IoT::Certificate::Id`, are accepted as well. Raises
    InvalidRequest if the text is no template with one thing and one certificate.
    """
    kind = TemplateKind.FLEET_PROVISIONING if CERTIFICATE_ID in text else TemplateKind.REGISTER_THING
    parsed = parse_template(text, kind)
    if parsed.thing is None or parsed.certificate is None:
        raise InvalidRequest("the template must declare a thing and a certificate")
    body = json.loads(text)
    # Only devices that provision themselves over MQTT get the configuration.
    body.pop("DeviceConfiguration", None)
    body["Parameters"] = {**body.get("Parameters", {}), SIGNING_REQUEST: {"Type": "String"}}
    body["Resources"][parsed.thing.logical_id]["OverrideSettings"] = _FAIL
    body["Resources"][parsed.certificate.logical_id] = {
        "Type": "AWS::IoT::Certificate",
        "Properties": {"CertificateSigningRequest": _ref(SIGNING_REQUEST), "Status": status},
    }
    return json.dumps(body)


@lru_cache(maxsize=1024)
def _parsed(body: str) -> Template:
    return parse_template(body, TemplateKind.REGISTER_THING)


def planned(body: str, parameters: Mapping[str, str]) -> ProvisioningPlan:
    """Return the plan that the template results in for a device; raise InvalidRequest, which names the position."""
    return plan(_parsed(body), parameters)


def _ref(name: str) -> dict[str, str]:
    return {"Ref": name}
