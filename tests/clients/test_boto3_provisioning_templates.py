"""Provisioning templates and claims through AWS's SDK and CLI: every operation, every error that it models."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from tests.clients.test_aws_cli import shell_of
from tests.support.clients.aws import ClientOf, IoT, Live, allow, deny, policy, refusal_of
from tests.support.devices.live_devices import unique
from tests.support.registration.provisioning import BODY, HOOK_ARN, JITP_BODY, ROLE_ARN

MISSING = ("ResourceNotFoundException", 404)
INVALID = ("InvalidRequestException", 400)


@pytest.fixture
def template(iot: IoT) -> Any:
    """A template's name; it is deleted after the test."""
    name = unique("template")
    iot.create_provisioning_template(templateName=name, templateBody=BODY, provisioningRoleArn=ROLE_ARN)
    yield name
    if name in listed(iot):
        iot.delete_provisioning_template(templateName=name)


def listed(iot: IoT, **parameters: object) -> list[str]:
    pages = iot.get_paginator("list_provisioning_templates").paginate(**parameters)
    return [entry["templateName"] for page in pages for entry in page["templates"]]


def test_a_template_lives_its_life(iot: IoT) -> None:
    name = unique("template")
    created = iot.create_provisioning_template(
        templateName=name,
        description="Sensors",
        templateBody=BODY,
        enabled=True,
        provisioningRoleArn=ROLE_ARN,
        preProvisioningHook={"targetArn": HOOK_ARN},
    )
    arn = f"arn:aws:iot:us-east-1:000000000000:provisioningtemplate/{name}"
    assert (created["templateArn"], created["templateName"], created["defaultVersionId"]) == (arn, name, 1)
    described = iot.describe_provisioning_template(templateName=name)
    assert (described["templateBody"], described["type"], described["enabled"]) == (BODY, "FLEET_PROVISIONING", True)
    assert described["creationDate"] == described["lastModifiedDate"]
    iot.update_provisioning_template(templateName=name, enabled=False, removePreProvisioningHook=True)
    updated = iot.describe_provisioning_template(templateName=name)
    assert not updated["enabled"]
    assert "preProvisioningHook" not in updated
    assert updated["lastModifiedDate"] > updated["creationDate"]
    assert name in listed(iot, PaginationConfig={"PageSize": 1})
    iot.delete_provisioning_template(templateName=name)
    assert name not in listed(iot)


def test_versions_live_theirs(iot: IoT, template: str) -> None:
    second = iot.create_provisioning_template_version(templateName=template, templateBody=JITP_BODY, setAsDefault=True)
    assert (second["versionId"], second["isDefaultVersion"]) == (2, True)
    assert iot.describe_provisioning_template(templateName=template)["templateBody"] == JITP_BODY
    version = iot.describe_provisioning_template_version(templateName=template, versionId=1)
    assert (version["templateBody"], version["isDefaultVersion"]) == (BODY, False)
    pages = iot.get_paginator("list_provisioning_template_versions").paginate(
        templateName=template, PaginationConfig={"PageSize": 1}
    )
    assert [entry["versionId"] for page in pages for entry in page["versions"]] == [1, 2]
    iot.delete_provisioning_template_version(templateName=template, versionId=1)
    third = iot.create_provisioning_template_version(templateName=template, templateBody=BODY)
    assert (third["versionId"], third["isDefaultVersion"]) == (3, False)


def test_a_claim_is_for_five_minutes_and_in_no_list(iot: IoT, template: str) -> None:
    claim = iot.create_provisioning_claim(templateName=template)
    certificate = x509.load_der_x509_certificate(ssl.PEM_cert_to_DER_cert(claim["certificatePem"]))
    assert claim["expiration"] == certificate.not_valid_after_utc
    assert timedelta(minutes=4) < claim["expiration"] - datetime.now(UTC) <= timedelta(minutes=5)
    assert refusal_of(iot.describe_certificate, certificateId=claim["certificateId"]).name == MISSING[0]


def test_the_errors_of_the_model_are_raised(iot: IoT, template: str) -> None:
    again: dict[str, Any] = {"templateName": template, "templateBody": BODY, "provisioningRoleArn": ROLE_ARN}
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as exists:
        iot.create_provisioning_template(**again)
    assert exists.value.response["resourceId"] == template
    for _ in range(4):
        iot.create_provisioning_template_version(templateName=template, templateBody=BODY)
    with pytest.raises(iot.exceptions.VersionsLimitExceededException):
        iot.create_provisioning_template_version(templateName=template, templateBody=BODY)
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_provisioning_template_version(templateName=template, versionId=1)


def test_what_does_not_exist_is_not_found(iot: IoT, template: str) -> None:
    calls: list[tuple[Callable[..., object], dict[str, object]]] = [
        (iot.describe_provisioning_template, {}),
        (iot.update_provisioning_template, {"enabled": True}),
        (iot.delete_provisioning_template, {}),
        (iot.create_provisioning_template_version, {"templateBody": BODY}),
        (iot.describe_provisioning_template_version, {"versionId": 1}),
        (iot.list_provisioning_template_versions, {}),
        (iot.delete_provisioning_template_version, {"versionId": 1}),
        (iot.create_provisioning_claim, {}),
    ]
    for call, parameters in calls:
        refusal = refusal_of(call, templateName="missing", **parameters)
        assert (refusal.name, refusal.status) == MISSING
    refusal = refusal_of(iot.update_provisioning_template, templateName=template, defaultVersionId=9)
    assert (refusal.name, refusal.status) == MISSING


def test_the_limit_of_templates_holds(live: Live, client_of: ClientOf) -> None:
    iot = client_of(live)
    names = [f"limit-{number}" for number in range(256 - len(listed(iot)))]
    for name in names:
        iot.create_provisioning_template(templateName=name, templateBody=BODY, provisioningRoleArn=ROLE_ARN)
    with pytest.raises(iot.exceptions.LimitExceededException):
        iot.create_provisioning_template(templateName="over", templateBody=BODY, provisioningRoleArn=ROLE_ARN)
    assert len(listed(iot)) == 256
    for name in names:
        iot.delete_provisioning_template(templateName=name)


def test_bad_values_are_refused_by_the_service(live: Live, client_of: ClientOf, template: str) -> None:
    iot = client_of(live, parameter_validation=False)
    good: dict[str, Any] = {"templateName": "good", "templateBody": BODY, "provisioningRoleArn": ROLE_ARN}
    for bad in (
        {"templateName": "a/b"},
        {"templateName": ""},
        {"templateBody": 7},
        {"type": "OTHER"},
        {"description": "\n"},
        {"preProvisioningHook": {"targetArn": "https://169.254.169.254/"}},
    ):
        refusal = refusal_of(iot.create_provisioning_template, **good | bad)
        assert (refusal.name, refusal.status) == INVALID
    refusal = refusal_of(iot.list_provisioning_templates, nextToken="AAAA")
    assert (refusal.name, refusal.status) == INVALID
    assert listed(iot).count("good") == 0
    assert template in listed(iot)


def test_a_policy_names_the_templates_that_a_key_may_use(live: Live, client_of: ClientOf, template: str) -> None:
    ours = f"arn:aws:iot:us-east-1:000000000000:provisioningtemplate/{template}"
    key = live.create_access_key(policy(allow("iot:*", resource=ours), deny("iot:CreateProvisioningClaim")))
    client = client_of(live, key)
    assert client.describe_provisioning_template(templateName=template)["templateArn"] == ours
    for call, parameters in (
        (client.describe_provisioning_template, {"templateName": "other"}),
        (client.create_provisioning_claim, {"templateName": template}),
        (client.list_provisioning_templates, {}),
        (
            client.create_provisioning_template,
            {"templateName": "other", "templateBody": BODY, "provisioningRoleArn": ROLE_ARN},
        ),
    ):
        refusal = refusal_of(call, **parameters)
        assert (refusal.name, refusal.status) == ("AccessDeniedException", 403)


def test_a_template_is_operated_from_the_shell(live_on_sqlite: Live, tmp_path: Path) -> None:
    shell = shell_of(live_on_sqlite, tmp_path)
    (tmp_path / "fleet.json").write_text(BODY)
    created = shell.json(
        "aws iot create-provisioning-template --template-name shell --template-body file://fleet.json --enabled "
        f"--provisioning-role-arn {ROLE_ARN} --pre-provisioning-hook targetArn={HOOK_ARN}"
    )
    version = shell.json(
        "aws iot create-provisioning-template-version --template-name shell --template-body file://fleet.json "
        "--set-as-default"
    )
    shell.run("aws iot update-provisioning-template --template-name shell --no-enabled --default-version-id 1")
    described = shell.json("aws iot describe-provisioning-template --template-name shell")
    claim = shell.json("aws iot create-provisioning-claim --template-name shell")
    shell.run("aws iot delete-provisioning-template --template-name shell")

    assert (created["defaultVersionId"], version["versionId"], version["isDefaultVersion"]) == (1, 2, True)
    assert (described["defaultVersionId"], described["enabled"], described["templateBody"]) == (1, False, BODY)
    certificate = x509.load_pem_x509_certificate(claim["certificatePem"].encode())
    assert claim["expiration"] == certificate.not_valid_after_utc.timestamp()
