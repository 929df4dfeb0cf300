"""The operations of provisioning templates, their versions and claims, from the parts of a request to the JSON."""

import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.support.registration.api import Api
from tests.support.registration.provisioning import BODY, HOOK_ARN, JITP_BODY, ROLE_ARN

from thingmint.core.errors import InvalidRequest

TEMPLATES = "/provisioning-templates"
FLEET = f"{TEMPLATES}/fleet"
VERSIONS = f"{FLEET}/versions"
ARN = "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/fleet"
CREATED_AT = 1541022751.983
OURS = "arn:aws:iot:eu-west-1:123456789012"


def body(**members: object) -> bytes:
    return json.dumps(members).encode()


async def create(api: Api, **members: object) -> dict[str, object]:
    minimum = {"templateName": "fleet", "templateBody": BODY, "provisioningRoleArn": ROLE_ARN}
    answer: dict[str, object] = await api.call("POST", TEMPLATES, body(**minimum | members))
    return answer


async def describe(api: Api) -> dict[str, object]:
    answer: dict[str, object] = await api.call("GET", FLEET)
    return answer


async def test_a_template_is_created_in_the_form_of_aws(api: Api) -> None:
    assert await create(api) == {"templateArn": ARN, "templateName": "fleet", "defaultVersionId": 1}
    assert await describe(api) == {
        "templateArn": ARN,
        "templateName": "fleet",
        "creationDate": CREATED_AT,
        "lastModifiedDate": CREATED_AT,
        "defaultVersionId": 1,
        "templateBody": BODY,
        "enabled": False,
        "provisioningRoleArn": ROLE_ARN,
        "type": "FLEET_PROVISIONING",
    }


async def test_every_member_of_a_template_is_shown(api: Api) -> None:
    hook = {"targetArn": HOOK_ARN, "payloadVersion": "2020-04-01"}
    await create(api, description="Zähler", enabled=True, preProvisioningHook=hook)
    described = await describe(api)
    assert (described["description"], described["enabled"], described["preProvisioningHook"]) == ("Zähler", True, hook)


async def test_a_hook_has_the_one_payload_version_where_none_is_given(api: Api) -> None:
    await create(api, preProvisioningHook={"targetArn": HOOK_ARN})
    assert (await describe(api))["preProvisioningHook"] == {"targetArn": HOOK_ARN, "payloadVersion": "2020-04-01"}


async def test_a_template_for_just_in_time_provisioning_keeps_its_type(api: Api) -> None:
    await create(api, type="JITP", templateBody=JITP_BODY)
    await api.call("PATCH", FLEET, body(enabled=True))
    assert (await describe(api))["type"] == "JITP"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"templateName": None}, "Value null at 'templateName'"),
        ({"type": "OTHER"}, "enum value set"),
        ({"preProvisioningHook": {}}, "preProvisioningHook.targetArn"),
        ({"tags": [{"Key": "aws:a", "Value": "b"}]}, "reserved"),
    ],
)
async def test_what_is_no_template_is_refused_and_nothing_stored(
    api: Api, members: dict[str, object], reason: str
) -> None:
    before = api.store.tables.dump()
    with pytest.raises(InvalidRequest, match=reason):
        await create(api, **members)
    assert api.store.tables.dump() == before


async def test_templates_are_listed_page_by_page(api: Api) -> None:
    for number in range(3):
        await create(api, templateName=f"t{number}", description=None if number else "First")
    first = await api.call("GET", f"{TEMPLATES}?maxResults=2")
    last = await api.call("GET", f"{TEMPLATES}?maxResults=2&nextToken={first['nextToken']}")
    assert [entry["templateName"] for entry in first["templates"] + last["templates"]] == ["t0", "t1", "t2"]
    assert "nextToken" not in last
    assert first["templates"][0] == {
        "templateArn": f"{OURS}:provisioningtemplate/t0",
        "templateName": "t0",
        "description": "First",
        "creationDate": CREATED_AT,
        "lastModifiedDate": CREATED_AT,
        "enabled": False,
        "type": "FLEET_PROVISIONING",
    }


async def test_a_marker_belongs_to_one_list(api: Api) -> None:
    for name in ("fleet", "other"):
        await create(api, templateName=name)
        await api.call("POST", f"{TEMPLATES}/{name}/versions", body(templateBody=BODY))
    marker = (await api.call("GET", f"{VERSIONS}?maxResults=1"))["nextToken"]
    for target in (f"{TEMPLATES}?nextToken={marker}", f"{TEMPLATES}/other/versions?nextToken={marker}"):
        with pytest.raises(InvalidRequest):
            await api.call("GET", target)


async def test_an_update_changes_what_it_names(api: Api) -> None:
    await create(api, preProvisioningHook={"targetArn": HOOK_ARN})
    await api.call("POST", VERSIONS, body(templateBody=JITP_BODY))
    role = f"{ROLE_ARN}2"
    await api.call(
        "PATCH",
        FLEET,
        body(
            description="x", enabled=True, defaultVersionId=2, provisioningRoleArn=role, removePreProvisioningHook=True
        ),
    )
    described = await describe(api)
    assert "preProvisioningHook" not in described
    assert [described[name] for name in ("description", "enabled", "defaultVersionId", "provisioningRoleArn")] == [
        "x",
        True,
        2,
        role,
    ]
    assert described["templateBody"] == JITP_BODY


async def test_versions_are_created_described_listed_and_deleted(api: Api) -> None:
    await create(api)
    second = await api.call("POST", f"{VERSIONS}?setAsDefault=true", body(templateBody=JITP_BODY))
    assert second == {"templateArn": ARN, "templateName": "fleet", "versionId": 2, "isDefaultVersion": True}
    assert await api.call("GET", f"{VERSIONS}/1") == {
        "versionId": 1,
        "creationDate": CREATED_AT,
        "templateBody": BODY,
        "isDefaultVersion": False,
    }
    assert (await api.call("GET", VERSIONS))["versions"] == [
        {"versionId": 1, "creationDate": CREATED_AT, "isDefaultVersion": False},
        {"versionId": 2, "creationDate": CREATED_AT, "isDefaultVersion": True},
    ]
    assert await api.call("DELETE", f"{VERSIONS}/1") == {}
    assert await api.call("DELETE", FLEET) == {}


async def test_a_number_of_a_version_is_an_integer(api: Api) -> None:
    with pytest.raises(InvalidRequest, match="versionId"):
        await api.call("GET", f"{VERSIONS}/x")


async def test_a_claim_is_answered_with_its_keys(api: Api) -> None:
    await create(api)
    claim = await api.call("POST", f"{FLEET}/provisioning-claim")
    assert list(claim) == ["certificateId", "certificatePem", "keyPair", "expiration"]
    certificate = x509.load_pem_x509_certificate(claim["certificatePem"].encode())
    private_key = serialization.load_pem_private_key(claim["keyPair"]["PrivateKey"].encode(), None)
    assert private_key.public_key() == certificate.public_key()
    assert claim["expiration"] == certificate.not_valid_after_utc.timestamp() == 1541022751 + 300
    assert (await api.call("GET", "/certificates"))["certificates"] == []


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", FLEET),
        ("PATCH", FLEET),
        ("DELETE", FLEET),
        ("POST", VERSIONS),
        ("GET", VERSIONS),
        ("GET", f"{VERSIONS}/1"),
        ("DELETE", f"{VERSIONS}/1"),
        ("POST", f"{FLEET}/provisioning-claim"),
    ],
)
def test_policies_are_asked_about_the_template(api: Api, method: str, target: str) -> None:
    assert api.resource_of(method, target) == ARN


def test_policies_are_asked_about_every_template_for_a_list(api: Api) -> None:
    assert api.resource_of("GET", TEMPLATES) == "*"


@pytest.mark.parametrize(
    ("sent", "resource"),
    [
        (body(templateName="fleet"), ARN),
        (b'{"templateName": "x", "templateName": "fleet"}', ARN),
        (b"", "*"),
        (b"{", "*"),
        (b"[]", "*"),
        (body(templateName=7), "*"),
    ],
)
def test_policies_are_asked_about_the_name_that_the_handler_will_read(api: Api, sent: bytes, resource: str) -> None:
    assert api.resource_of("POST", TEMPLATES, sent) == resource
