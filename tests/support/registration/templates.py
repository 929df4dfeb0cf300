"""Owns short ways to write provisioning templates in tests."""

import json

from tests.support.registration.policies import Json, document, statement

CERTIFICATE_ID: Json = {"Ref": "AWS::IoT::Certificate::Id"}
POLICY_DOCUMENT = document(statement(Action="iot:Publish", Resource="arn:aws:iot:us-east-1:123456789012:topic/foo/bar"))


def certificate(**properties: Json) -> dict[str, Json]:
    """Return a certificate resource: that of the device, with these properties besides."""
    return {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": CERTIFICATE_ID, **properties}}


def thing(name: Json = "lamp", **properties: Json) -> dict[str, Json]:
    """Return a thing resource."""
    return {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": name, **properties}}


def policy(**properties: Json) -> dict[str, Json]:
    """Return a policy resource."""
    return {"Type": "AWS::IoT::Policy", "Properties": {**properties}}


def template(*parameters: str, resources: dict[str, Json] | None = None, **sections: Json) -> str:
    """Return the text of a template that declares the parameters, the device's certificate and these resources."""
    declared: dict[str, Json] = {name: {"Type": "String"} for name in parameters}
    content: dict[str, Json] = {
        "Parameters": declared,
        "Resources": {"certificate": certificate(), **(resources or {})},
        **sections,
    }
    return json.dumps({name: section for name, section in content.items() if section is not None})


def template_of_pem(status: str = "ACTIVE") -> str:
    """Return the text of a template that registers the certificate of the parameter Pem with this status."""
    resource = {"Type": "AWS::IoT::Certificate", "Properties": {"CertificatePem": {"Ref": "Pem"}, "Status": status}}
    return json.dumps({"Parameters": {"Pem": {"Type": "String"}}, "Resources": {"certificate": resource}})
