"""Small differences from AWS as its SDK meets them; the rows of docs/divergences.md name this file."""

import json
from typing import Any

import pytest
from tests.clients.test_boto3_ca_certificates import fresh_ca
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import IoT, allow, deny, policy, refusal_of
from tests.support.devices.live_devices import ROLE, unique
from tests.support.registration.provisioning import BODY, JITP_BODY

PREFIX = "arn:aws:iot:us-east-1:000000000000:"
STATE, INVALID, MISSING = "CertificateStateException", "InvalidRequestException", "ResourceNotFoundException"


def certificate(iot: IoT, status: str = "INACTIVE") -> tuple[str, str]:
    """Return the id and the ARN of a new certificate in this status."""
    created = iot.create_certificate_from_csr(certificateSigningRequest=csr_pem("p-256"))
    if status != "INACTIVE":
        iot.update_certificate(certificateId=created["certificateId"], newStatus=status)
    return created["certificateId"], created["certificateArn"]


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE"])
def test_a_revoked_certificate_stays_revoked(iot: IoT, status: str) -> None:
    revoked, _ = certificate(iot, "REVOKED")
    refusal = refusal_of(iot.update_certificate, certificateId=revoked, newStatus=status)
    assert (refusal.name, refusal.status) == (STATE, 406)
    assert iot.describe_certificate(certificateId=revoked)["certificateDescription"]["status"] == "REVOKED"


def test_a_revoked_certificate_is_not_transferred(iot: IoT) -> None:
    revoked, _ = certificate(iot, "REVOKED")
    refusal = refusal_of(iot.transfer_certificate, certificateId=revoked, targetAwsAccount="222222222222")
    assert (refusal.name, refusal.status) == (STATE, 406)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"templateBody": JITP_BODY}, "role"),
        ({"templateBody": "{", "roleArn": ROLE}, "line 1, column 2"),
        ({"templateBody": BODY.replace("AWS::IoT::Certificate::Id", "Other"), "roleArn": ROLE}, "CertificateId"),
    ],
)
def test_the_template_of_a_ca_is_checked_when_it_is_given(iot: IoT, config: dict[str, str], reason: str) -> None:
    given: dict[str, Any] = {"caCertificate": fresh_ca(unique("CA")).pem, "certificateMode": "SNI_ONLY"}
    refusal = refusal_of(iot.register_ca_certificate, registrationConfig=config, **given)
    assert (refusal.name, refusal.status) == (INVALID, 400)
    assert reason in refusal.message


def test_a_ca_names_a_template_for_first_connections_and_says_one_thing_at_a_time(iot: IoT) -> None:
    name = unique("fleet")
    iot.create_provisioning_template(templateName=name, templateBody=BODY, provisioningRoleArn=ROLE)
    given: dict[str, Any] = {"caCertificate": fresh_ca(unique("CA")).pem, "certificateMode": "SNI_ONLY"}
    refusal = refusal_of(iot.register_ca_certificate, registrationConfig={"templateName": name}, **given)
    assert (refusal.name, refusal.status) == (INVALID, 400)
    ca_id = iot.register_ca_certificate(**given)["certificateId"]
    both = {"newAutoRegistrationStatus": "ENABLE", "removeAutoRegistration": True}
    refusal = refusal_of(iot.update_ca_certificate, certificateId=ca_id, **both)
    assert (refusal.name, refusal.status) == (INVALID, 400)


def decisions(iot: IoT, document: dict[str, object], resources: list[str], **parameters: object) -> str:
    """Return what a certificate with this policy alone may do with the resources."""
    _, arn = certificate(iot)
    name = unique("small")
    iot.create_policy(policyName=name, policyDocument=json.dumps(document))
    iot.attach_policy(policyName=name, target=arn)
    asked = [{"actionType": "PUBLISH", "resources": [PREFIX + each for each in resources]}]
    (result,) = iot.test_authorization(principal=arn, authInfos=asked, **parameters)["authResults"]
    return str(result["authDecision"])


def with_not_resource(statement: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in statement.items() if name != "Resource"} | {
        "NotResource": PREFIX + "topic/${iot:ClientId}"
    }


def test_a_variable_that_is_missing_in_what_is_excepted_makes_the_answer_no(iot: IoT) -> None:
    allowed = policy(with_not_resource(allow("iot:Publish")))
    assert decisions(iot, allowed, ["topic/a"], clientId="b") == "ALLOWED"
    assert decisions(iot, allowed, ["topic/a"]) == "IMPLICIT_DENY"
    denied = policy(allow("iot:Publish"), with_not_resource(deny("iot:Publish")))
    assert decisions(iot, denied, ["topic/a"], clientId="a") == "ALLOWED"
    assert decisions(iot, denied, ["topic/a"]) == "EXPLICIT_DENY"


@pytest.mark.parametrize("client_id", ["+", "#", "a/#"])
def test_a_client_id_with_a_wildcard_of_mqtt_is_not_put_in(iot: IoT, client_id: str) -> None:
    named = policy(allow("iot:Publish", resource=PREFIX + "topic/${iot:ClientId}"))
    assert decisions(iot, named, [f"topic/{client_id}"], clientId=client_id) == "IMPLICIT_DENY"
    assert decisions(iot, named, ["topic/plain"], clientId="plain") == "ALLOWED"


def test_several_resources_are_decided_as_the_worst_of_them(iot: IoT) -> None:
    document = policy(
        allow("iot:Publish", resource=PREFIX + "topic/a"), deny("iot:Publish", resource=PREFIX + "topic/b")
    )
    assert decisions(iot, document, ["topic/a"]) == "ALLOWED"
    assert decisions(iot, document, ["topic/a", "topic/c"]) == "IMPLICIT_DENY"
    assert decisions(iot, document, ["topic/a", "topic/c", "topic/b"]) == "EXPLICIT_DENY"


def test_a_well_formed_identity_of_cognito_may_have_policies_and_an_ill_formed_one_not(iot: IoT) -> None:
    name, identity = unique("small"), "us-east-1:00000000-0000-4000-8000-00000000000a"
    iot.create_policy(policyName=name, policyDocument=json.dumps(policy(allow("iot:Connect"))))
    iot.attach_policy(policyName=name, target=identity.upper().replace("US-EAST", "us-east"))
    assert [each["policyName"] for each in iot.list_attached_policies(target=identity)["policies"]] == [name]
    assert refusal_of(iot.attach_policy, policyName=name, target="us-east-1:no").name == INVALID


@pytest.mark.parametrize("place", ["us-east-1:222222222222", "eu-west-1:000000000000"])
def test_a_target_elsewhere_is_not_found(iot: IoT, place: str) -> None:
    name = unique("small")
    iot.create_policy(policyName=name, policyDocument=json.dumps(policy(allow("iot:Connect"))))
    refusal = refusal_of(iot.attach_policy, policyName=name, target=f"arn:aws:iot:{place}:cert/{'ab' * 32}")
    assert (refusal.name, refusal.status) == (MISSING, 404)


def test_white_space_counts_inside_the_strings_of_a_policy_only(iot: IoT) -> None:
    text = json.dumps(policy(allow("iot:Publish", resource=PREFIX + "topic/a b")))
    between, inside = text.replace(", ", "," + " " * 2048), text.replace("a b", "a" + " " * 2048 + "b")
    iot.create_policy(policyName=unique("small"), policyDocument=between)
    refusal = refusal_of(iot.create_policy, policyName=unique("small"), policyDocument=inside)
    assert (refusal.name, refusal.status) == ("MalformedPolicyException", 400)
    assert "2048" in refusal.message


def test_a_policy_without_a_version_has_no_variables(iot: IoT) -> None:
    document = policy(allow("iot:Publish", resource=PREFIX + "topic/${iot:ClientId}"))
    assert decisions(iot, document, ["topic/a"], clientId="a") == "ALLOWED"
    del document["Version"]
    assert decisions(iot, document, ["topic/a"], clientId="a") == "IMPLICIT_DENY"
