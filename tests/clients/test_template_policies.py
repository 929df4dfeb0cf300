"""Policies that templates compose for each device of a running service, by whichever way it is registered."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.clients.test_boto3_bulk_registration import ended, report
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import IoT, Live, refusal_of
from tests.support.devices.live_devices import ROLE, Credentials, Device, device, is_admitted, new_credentials, unique
from tests.support.registration.bulk import BUCKET, KEY, write_input

CREATE = "$aws/certificates/create/json"
# The shape of a public template, with a policy that names the device, its company, and where it lives.
DOCUMENT = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": "arn:aws:iot:${Region}:${AccountId}:client/${ThingName}",
            },
            {
                "Effect": "Allow",
                "Action": ["iot:Publish"],
                "Resource": ["arn:aws:iot:${Region}:${AccountId}:topic/companies/${Company}/${!iot:ClientId}/*"],
            },
        ],
    },
    indent=2,
)
NAMES = {name: {"Ref": name} for name in ("ThingName", "Company", "Region", "AccountId")}
PLACE = {"Region": "us-east-1", "AccountId": "000000000000"}


def body(policy_document: object, certificate: dict[str, str]) -> str:
    return json.dumps(
        {
            "Parameters": {
                **{name: {"Type": "String"} for name in (*NAMES, "CSR")},
                "AWS::IoT::Certificate::Id": {"Type": "String"},
            },
            "Resources": {
                "thing": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"}}},
                "certificate": {
                    "Type": "AWS::IoT::Certificate",
                    "Properties": {key: {"Ref": name} for key, name in certificate.items()},
                },
                "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": policy_document}},
            },
        }
    )


OBJECT = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "iot:Connect",
            "Resource": {"Fn::Sub": "arn:aws:iot:${Region}:${AccountId}:client/${ThingName}"},
        },
        {
            "Effect": "Allow",
            "Action": "iot:Publish",
            "Resource": [
                {
                    "Fn::Sub": [
                        "arn:aws:iot:${Region}:${AccountId}:topic/companies/${C}/${!iot:ClientId}/*",
                        {"C": {"Ref": "Company"}},
                    ]
                }
            ],
        },
    ],
}
FORMS = {"text with names": {"Fn::Sub": [DOCUMENT, NAMES]}, "text": {"Fn::Sub": DOCUMENT}, "object": OBJECT}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_device_may_do_what_its_own_policy_says_and_no_more(
    live: Live, iot: IoT, tmp_path: Path, form: object
) -> None:
    template, name = unique("composed"), unique("device")
    text = body(form, {"CertificateId": "AWS::IoT::Certificate::Id"})
    iot.create_provisioning_template(templateName=template, templateBody=text, provisioningRoleArn=ROLE, enabled=True)
    with device(live, new_credentials(iot), tmp_path, unique("claim")) as claim:
        created = claim.request(CREATE, {})
        own = Credentials(created["certificateId"], created["certificatePem"], created["privateKey"])
        parameters = {"ThingName": name, "Company": "acme", **PLACE}
        outcome, _ = asked(claim, template, created["certificateOwnershipToken"], parameters)
        assert outcome == "accepted"
    assert not is_admitted(live, own, tmp_path)
    with device(live, own, tmp_path, name) as registered:
        assert registered.publish(f"companies/acme/{name}/state", b"x") in ("Success", "No matching subscribers")
        assert registered.publish(f"companies/other/{name}/state", b"x") == "Not authorized"


@pytest.mark.parametrize("value", ["*", "a*", "a/b", '","Action":"iot:*', "${iot:ClientId}", "a b", ""])
def test_a_device_that_gives_what_has_a_meaning_is_refused_and_may_try_again(
    live: Live, iot: IoT, tmp_path: Path, value: str
) -> None:
    template, name = unique("composed"), unique("device")
    text = body(FORMS["text with names"], {"CertificateId": "AWS::IoT::Certificate::Id"})
    iot.create_provisioning_template(templateName=template, templateBody=text, provisioningRoleArn=ROLE, enabled=True)
    with device(live, new_credentials(iot), tmp_path, unique("claim")) as claim:
        token = claim.request(CREATE, {})["certificateOwnershipToken"]
        outcome, answer = asked(claim, template, token, {"ThingName": name, "Company": value, **PLACE})
        assert (outcome, answer["statusCode"], answer["errorCode"]) == ("rejected", 400, "InvalidParameters")
        assert "the value of Company is put into a policy" in answer["errorMessage"]
        assert asked(claim, template, token, {"ThingName": name, "Company": "acme", **PLACE})[0] == "accepted"


def asked(claim: Device, name: str, token: str, parameters: dict[str, str]) -> tuple[str, dict[str, Any]]:
    request = {"certificateOwnershipToken": token, "parameters": parameters}
    topic, payload = claim.ask(f"$aws/provisioning-templates/{name}/provision/json", json.dumps(request).encode())
    return topic.rpartition("/")[2], json.loads(payload)


def test_an_operator_gets_the_policy_by_its_name_and_lines_of_a_file_get_theirs(live: Live, iot: IoT) -> None:
    text = body(OBJECT, {"CertificateSigningRequest": "CSR"})
    given = {"ThingName": unique("device"), "Company": "acme", "CSR": csr_pem("p-256"), **PLACE}
    done = iot.register_thing(templateBody=text, parameters=given)
    name = done["resourceArns"]["policy"].rpartition("/")[2]
    document = json.loads(iot.get_policy(policyName=name)["policyDocument"])
    assert document["Statement"][0]["Resource"] == f"arn:aws:iot:us-east-1:000000000000:client/{given['ThingName']}"
    refused = refusal_of(iot.register_thing, templateBody=text, parameters=given | {"Company": "*"})
    assert (refused.name, refused.status) == ("InvalidRequestException", 400)
    lines = [given | {"ThingName": unique("device")}, given | {"Company": "#"}]
    write_input(live.registration_dir, lines, live.account)
    file = {"templateBody": text, "inputFileBucket": BUCKET, "inputFileKey": KEY, "roleArn": ROLE}
    task = ended(iot, iot.start_thing_registration_task(**file)["taskId"])
    assert (task["successCount"], task["failureCount"]) == (1, 1)
    (error,) = report(iot, task["taskId"], "ERRORS")
    assert "the value of Company is put into a policy" in error["errorMessage"]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"Fn::Sub": '{"Statement": ${Company}}'}, "Fn::Sub: line 1, column 15: a value is expected"),
        ({"Ref": "Company"}, "what a device gives cannot be a policy"),
        ({"Fn::Sub": DOCUMENT.replace('"iot:Connect"', '"${Company}"')}, "cannot be a part of Action"),
    ],
)
def test_a_mistake_is_told_when_the_template_is_given(iot: IoT, document: object, reason: str) -> None:
    text = body(document, {"CertificateId": "AWS::IoT::Certificate::Id"})
    refused = refusal_of(
        iot.create_provisioning_template, templateName=unique("bad"), templateBody=text, provisioningRoleArn=ROLE
    )
    assert (refused.name, refused.status) == ("InvalidRequestException", 400)
    assert "Resources.policy.Properties.PolicyDocument" in refused.message
    assert reason in refused.message
