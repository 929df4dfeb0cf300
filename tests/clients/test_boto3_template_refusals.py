"""What a service says of templates that could provision nobody, and which ones it takes: through AWS's SDK."""

import json
from typing import Any

import pytest
from tests.support.clients.aws import IoT, refusal_of
from tests.support.devices.live_devices import ROLE, unique
from tests.support.registration.fleet import DOCUMENT, template_body

CERTIFICATE = {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}}
THING = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "Serial"}}}


def template(**resources: object) -> str:
    declared = {"Serial": {"Type": "String"}}
    return json.dumps({"Parameters": declared, "Resources": {"certificate": CERTIFICATE, **resources}})


def thing(properties: dict[str, object], **members: object) -> dict[str, object]:
    return {"Type": "AWS::IoT::Thing", "Properties": properties, **members}


def policies(count: int) -> dict[str, object]:
    return {
        f"p{number}": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": f"p{number}"}}
        for number in range(count)
    }


REFUSED = {
    "undeclared": (
        template(thing=THING).replace('"Serial":', '"Serial ":'),
        "Resources.thing.Properties.ThingName.Ref: Cannot resolve reference value: Serial; declared is 'Serial '",
    ),
    "no certificate": (json.dumps({"Resources": {}}), "a certificate is missing"),
    "no name": (template(thing=thing({})), "Resources.thing.Properties: ThingName is missing"),
    "package versions": (
        template(thing=thing({"ThingName": "a", "PackageVersions": {"a": "1"}})),
        "'PackageVersions' is not known here",
    ),
    "surrogate": (template(thing=thing({"ThingName": "\ud800"})), "half of a surrogate pair"),
    "eleven policies": (template(**policies(11)), "11 policies are declared, and a certificate has at most 10"),
    "attributes": (
        template(thing=thing({"ThingName": "a", "AttributePayload": {"attributes": {"a": "b"}}})),
        "without an object 'attributes' around them",
    ),
    "byte order mark": ("\ufeff" + template(), "line 1, column 1: a byte order mark"),
    "not JSON": ("{'Resources': {}}", "line 1, column 2: a key in double quotes is expected"),
    "twice": ('{"Resources": {}, "Resources": {}}', "line 1, column 19: the key 'Resources' appears twice"),
}


@pytest.mark.parametrize(("body", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_template_that_provisions_nobody_is_refused_with_its_place(iot: IoT, body: str, reason: str) -> None:
    given: dict[str, Any] = {"templateName": unique("bad"), "templateBody": body, "provisioningRoleArn": ROLE}
    refused = refusal_of(iot.create_provisioning_template, **given)
    assert (refused.name, refused.status) == ("InvalidRequestException", 400)
    assert reason in refused.message


TAKEN = {
    "ten policies": template(**policies(10)),
    "names in capitals": template(
        thing=THING
        | {"OverrideSettings": {"ATTRIBUTE_PAYLOAD": "MERGE", "THING_TYPE_NAME": "REPLACE", "THING_GROUPS": "FAIL"}}
    ),
    "names as properties": template(
        thing=THING
        | {"OverrideSettings": {"AttributePayload": "MERGE", "ThingTypeName": "REPLACE", "ThingGroups": "FAIL"}}
    ),
    "usual": template_body(thing={}, policies={"policy": {"PolicyDocument": DOCUMENT}}),
}


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN.keys())
def test_a_template_that_aws_documents_is_taken(iot: IoT, body: str) -> None:
    name = unique("good")
    iot.create_provisioning_template(templateName=name, templateBody=body, provisioningRoleArn=ROLE)
    assert iot.describe_provisioning_template(templateName=name)["templateBody"] == body
    iot.delete_provisioning_template(templateName=name)


@pytest.mark.parametrize("settings", [{"AttributePayload": "MERGE"}, {"ATTRIBUTE_PAYLOAD": "MERGE"}])
def test_both_spellings_of_an_override_setting_do_the_same(iot: IoT, settings: dict[str, str]) -> None:
    name = unique("spelled")
    iot.create_thing(thingName=name, attributePayload={"attributes": {"a": "1"}})
    its = thing({"ThingName": name, "AttributePayload": {"b": "2"}}, OverrideSettings=settings)
    iot.register_thing(templateBody=json.dumps({"Resources": {"thing": its}}))
    assert iot.describe_thing(thingName=name)["attributes"] == {"a": "1", "b": "2"}


def test_what_a_template_comes_to_has_a_bound(iot: IoT) -> None:
    body = {
        "Parameters": {"Long": {"Type": "String"}},
        "Resources": {"thing": thing({"ThingName": {"Fn::Sub": "${Long}" * 65}})},
    }
    refused = refusal_of(iot.register_thing, templateBody=json.dumps(body), parameters={"Long": "x" * 4096})
    assert (refused.name, refused.status) == ("InvalidRequestException", 400)
    assert "have more than 262144 characters" in refused.message
