"""Updates that name some of their members: what is not named stays.

Groups are tested in `tests/api/registry/test_thing_groups.py`.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.certificates.user_ca import new_ca
from tests.support.clients.aws import IoT
from tests.support.devices.live_devices import ROLE, unique
from tests.support.registration.templates import template

OTHER_ROLE = "arn:aws:iam::000000000000:role/another"
HOOK = "arn:aws:lambda:us-east-1:000000000000:function:hook"
OTHER_HOOK = "arn:aws:lambda:us-east-1:000000000000:function:another"
Json = Mapping[str, Any]

THING: dict[str, tuple[Json, Json]] = {
    "nothing": ({}, {}),
    "attributes": ({"attributePayload": {"attributes": {"b": "2"}}}, {"attributes": {"b": "2"}}),
    "merged": (
        {"attributePayload": {"attributes": {"b": "2"}, "merge": True}},
        {"attributes": {"a": "1", "b": "2"}},
    ),
    "payload without attributes": ({"attributePayload": {}}, {}),
    "type": ({"thingTypeName": "OTHER"}, {"thingTypeName": "OTHER"}),
    "no type": ({"removeThingType": True}, {"thingTypeName": None}),
}


@pytest.mark.parametrize("update", THING)
def test_thing(iot: IoT, update: str) -> None:
    types, name = (unique("type"), unique("type")), unique("thing")
    for each in types:
        iot.create_thing_type(thingTypeName=each)
    asked, changed = (json.loads(json.dumps(each).replace("OTHER", types[1])) for each in THING[update])
    iot.create_thing(thingName=name, thingTypeName=types[0], attributePayload={"attributes": {"a": "1"}})
    iot.update_thing(thingName=name, **asked)
    described = iot.describe_thing(thingName=name)
    expected = {"attributes": {"a": "1"}, "thingTypeName": types[0], **changed}
    assert {member: described.get(member) for member in expected} == expected


TEMPLATE: dict[str, tuple[Json, Json]] = {
    "nothing": ({}, {}),
    "description": ({"description": "another"}, {"description": "another"}),
    "empty description": ({"description": ""}, {"description": ""}),
    "enabled": ({"enabled": False}, {"enabled": False}),
    "default version": ({"defaultVersionId": 2}, {"defaultVersionId": 2}),
    "role": ({"provisioningRoleArn": OTHER_ROLE}, {"provisioningRoleArn": OTHER_ROLE}),
    "hook": (
        {"preProvisioningHook": {"targetArn": OTHER_HOOK, "payloadVersion": "2020-04-01"}},
        {"preProvisioningHook": {"targetArn": OTHER_HOOK, "payloadVersion": "2020-04-01"}},
    ),
    "no hook": ({"removePreProvisioningHook": True}, {"preProvisioningHook": None}),
}


@pytest.mark.parametrize("update", TEMPLATE)
def test_provisioning_template(iot: IoT, update: str) -> None:
    name = unique("template")
    asked, changed = TEMPLATE[update]
    hook = {"targetArn": HOOK, "payloadVersion": "2020-04-01"}
    iot.create_provisioning_template(
        templateName=name,
        templateBody=template(),
        provisioningRoleArn=ROLE,
        description="as made",
        enabled=True,
        preProvisioningHook=hook,
    )
    iot.create_provisioning_template_version(templateName=name, templateBody=template())
    iot.update_provisioning_template(templateName=name, **asked)
    described = iot.describe_provisioning_template(templateName=name)
    expected: dict[str, object] = {
        "description": "as made",
        "enabled": True,
        "defaultVersionId": 1,
        "provisioningRoleArn": ROLE,
        "preProvisioningHook": hook,
        "type": "FLEET_PROVISIONING",
        **changed,
    }
    assert {member: described.get(member, "" if member == "description" else None) for member in expected} == expected


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        ({}, {}),
        ({"roleArn": OTHER_ROLE}, {"roleArn": OTHER_ROLE}),
        ({"credentialDurationSeconds": 7200}, {"credentialDurationSeconds": 7200}),
    ],
)
def test_role_alias(iot: IoT, asked: Json, changed: Json) -> None:
    alias = unique("alias")
    iot.create_role_alias(roleAlias=alias, roleArn=ROLE, credentialDurationSeconds=900)
    iot.update_role_alias(roleAlias=alias, **asked)
    described = iot.describe_role_alias(roleAlias=alias)["roleAliasDescription"]
    expected = {"roleArn": ROLE, "credentialDurationSeconds": 900, **changed}
    assert {member: described[member] for member in expected} == expected


CONFIG = {"templateBody": template(), "roleArn": ROLE}


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        ({}, {}),
        ({"newStatus": "INACTIVE"}, {"status": "INACTIVE"}),
        ({"newAutoRegistrationStatus": "DISABLE"}, {"autoRegistrationStatus": "DISABLE"}),
        ({"registrationConfig": {"roleArn": OTHER_ROLE}}, {"registrationConfig": {"roleArn": OTHER_ROLE}}),
        ({"removeAutoRegistration": True}, {"autoRegistrationStatus": "DISABLE", "registrationConfig": None}),
    ],
)
def test_ca_certificate(iot: IoT, asked: Json, changed: Json) -> None:
    ca_id = iot.register_ca_certificate(
        caCertificate=new_ca(unique("CA"), at=datetime.now(UTC)).pem,
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=True,
        registrationConfig=CONFIG,
    )["certificateId"]
    iot.update_ca_certificate(certificateId=ca_id, **asked)
    answer = iot.describe_ca_certificate(certificateId=ca_id)
    found = {**answer["certificateDescription"], "registrationConfig": answer.get("registrationConfig")}
    expected = {"status": "ACTIVE", "autoRegistrationStatus": "ENABLE", "registrationConfig": CONFIG, **changed}
    assert {member: found[member] for member in expected} == expected


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        ({}, {}),
        ({"lambdaFunctionArn": OTHER_HOOK}, {"lambdaFunctionArn": OTHER_HOOK}),
        ({"accountDefaultForOperations": ["CreateCertificateFromCsr"]}, {}),
    ],
)
def test_certificate_provider(iot: IoT, asked: Json, changed: Json) -> None:
    name = unique("provider")
    iot.create_certificate_provider(
        certificateProviderName=name,
        lambdaFunctionArn=HOOK,
        accountDefaultForOperations=["CreateCertificateFromCsr"],
    )
    try:
        iot.update_certificate_provider(certificateProviderName=name, **asked)
        described = iot.describe_certificate_provider(certificateProviderName=name)
    finally:
        iot.delete_certificate_provider(certificateProviderName=name)
    expected = {"lambdaFunctionArn": HOOK, "accountDefaultForOperations": ["CreateCertificateFromCsr"], **changed}
    assert {member: described[member] for member in expected} == expected


def test_event_configurations(iot: IoT) -> None:
    before = iot.describe_event_configurations().get("eventConfigurations", {})
    try:
        iot.update_event_configurations(eventConfigurations={"JOB": {"Enabled": True}})
        asked: list[Json] = [
            {},
            {"eventConfigurations": {}},
            {"eventConfigurations": {"JOB_EXECUTION": {"Enabled": False}}},
        ]
        for each in asked:
            iot.update_event_configurations(**each)
            assert iot.describe_event_configurations()["eventConfigurations"]["JOB"] == {"Enabled": True}
    finally:
        iot.update_event_configurations(eventConfigurations={"JOB": before.get("JOB", {"Enabled": False})})


def test_groups_of_a_thing(iot: IoT) -> None:
    thing, groups = unique("thing"), [unique("group") for _ in range(2)]
    iot.create_thing(thingName=thing)
    for group in groups:
        iot.create_thing_group(thingGroupName=group)
    iot.add_thing_to_thing_group(thingName=thing, thingGroupName=groups[0])
    iot.update_thing_groups_for_thing(thingName=thing)
    iot.update_thing_groups_for_thing(thingName=thing, thingGroupsToAdd=[groups[1]])
    assert {each["groupName"] for each in iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]} == {*groups}
    iot.update_thing_groups_for_thing(thingName=thing, thingGroupsToRemove=[groups[0]])
    assert [each["groupName"] for each in iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"]] == groups[1:]
