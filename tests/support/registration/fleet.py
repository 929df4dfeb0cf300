"""Owns a fleet for tests: templates, devices and certificates that wait for their activation; judges nothing."""

import json
from collections.abc import Mapping

from tests.support.certificates.signing_requests import csr_pem
from tests.support.registration.authority import caller_with
from tests.support.registration.provisioning import ROLE_ARN

from thingmint.core.caller import Caller
from thingmint.core.identifiers import CertificateId, TemplateName
from thingmint.core.provisioning.stored_template import PreProvisioningHook, TemplateType
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import device_provisioning, provisioning_templates

FLEET = TemplateName("fleet")
OPERATOR = caller_with()
CLAIM_ID = CertificateId("c1" * 32)
DEVICE = device_provisioning.FleetDevice(OPERATOR, CLAIM_ID)
DOCUMENT = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}],
}


def template_body(
    *,
    thing: Mapping[str, object] | None = None,
    thing_overrides: Mapping[str, str] | None = None,
    certificate: Mapping[str, object] | None = None,
    certificate_overrides: Mapping[str, str] | None = None,
    policies: Mapping[str, Mapping[str, object]] | None = None,
    device_configuration: Mapping[str, object] | None = None,
    parameters: tuple[str, ...] = ("SerialNumber",),
) -> str:
    """Return a template for sensors; what is given is put into it."""
    resources: dict[str, object] = {
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": certificate or {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
            **({"OverrideSettings": certificate_overrides} if certificate_overrides else {}),
        }
    }
    if thing is not None:
        resources["thing"] = {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Fn::Join": ["", ["sensor-", {"Ref": "SerialNumber"}]]}, **thing},
            **({"OverrideSettings": thing_overrides} if thing_overrides else {}),
        }
    for name, properties in (policies or {}).items():
        resources[name] = {"Type": "AWS::IoT::Policy", "Properties": properties}
    body: dict[str, object] = {
        "Parameters": {name: {"Type": "String"} for name in parameters},
        "Resources": resources,
    }
    if device_configuration is not None:
        body["DeviceConfiguration"] = device_configuration
    return json.dumps(body)


USUAL = template_body(
    thing={"AttributePayload": {"serial": {"Ref": "SerialNumber"}}},
    policies={"policy": {"PolicyDocument": DOCUMENT}},
    device_configuration={"url": "https://example.com/", "serial": {"Ref": "SerialNumber"}},
)


async def create_template(
    authority: RegistrationAuthority,
    body: str = USUAL,
    *,
    name: TemplateName = FLEET,
    enabled: bool = True,
    kind: TemplateType = TemplateType.FLEET_PROVISIONING,
    hook: PreProvisioningHook | None = None,
    caller: Caller = OPERATOR,
) -> None:
    """Store a template."""
    await provisioning_templates.create(
        authority,
        caller,
        name,
        body,
        kind=kind,
        description=None,
        enabled=enabled,
        role_arn=ROLE_ARN,
        hook=hook,
        tags={},
    )


async def waiting_certificate(
    authority: RegistrationAuthority, device: device_provisioning.FleetDevice = DEVICE
) -> device_provisioning.IssuedIdentity:
    """Return a certificate that waits for its activation, and its token."""
    return await device_provisioning.create_from_csr(authority, device, csr_pem("p-256"), "client-1")
