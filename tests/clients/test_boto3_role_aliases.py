"""Role aliases, certificate providers and event configurations, as AWS's SDK for Python shows them."""

import secrets

import pytest
from tests.support.clients.aws import ClientOf, IoT, Live, allow, policy, refusal_of

ROLE = "arn:aws:iam::000000000000:role/devices"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:sign"
OPERATIONS = ["CreateCertificateFromCsr"]
DENIED = ("AccessDeniedException", 403)


@pytest.fixture
def alias(iot: IoT) -> str:
    name = f"a=b,{secrets.token_hex(4)}@x"
    iot.create_role_alias(roleAlias=name, roleArn=ROLE, tags=[{"Key": "line", "Value": "7"}])
    return name


def test_a_role_alias_lives_its_life(iot: IoT, alias: str) -> None:
    described = iot.describe_role_alias(roleAlias=alias)["roleAliasDescription"]
    assert (described["roleArn"], described["credentialDurationSeconds"], described["owner"]) == (
        ROLE,
        3600,
        "000000000000",
    )
    assert iot.list_tags_for_resource(resourceArn=described["roleAliasArn"])["tags"] == [{"Key": "line", "Value": "7"}]

    updated = iot.update_role_alias(roleAlias=alias, roleArn=ROLE + "2", credentialDurationSeconds=900)
    assert updated["roleAliasArn"] == described["roleAliasArn"]
    assert iot.describe_role_alias(roleAlias=alias)["roleAliasDescription"]["roleArn"] == ROLE + "2"
    pages = iot.get_paginator("list_role_aliases").paginate(PaginationConfig={"PageSize": 1})
    assert alias in [name for page in pages for name in page["roleAliases"]]

    iot.delete_role_alias(roleAlias=alias)
    for call in (iot.describe_role_alias, iot.update_role_alias, iot.delete_role_alias):
        assert (refusal_of(call, roleAlias=alias).name, refusal_of(call, roleAlias=alias).status) == (
            "ResourceNotFoundException",
            404,
        )


def test_a_role_alias_is_created_once_and_well_formed(live: Live, iot: IoT, client_of: ClientOf, alias: str) -> None:
    taken = refusal_of(iot.create_role_alias, roleAlias=alias, roleArn=ROLE)
    assert (taken.name, taken.status) == ("ResourceAlreadyExistsException", 409)
    unchecked = client_of(live, parameter_validation=False)
    for parameters in (
        {"roleAlias": "new", "roleArn": "short"},
        {"roleAlias": "new", "roleArn": "x" * 20},
        {"roleAlias": "no space", "roleArn": ROLE},
        {"roleAlias": "new", "roleArn": ROLE, "credentialDurationSeconds": 1},
    ):
        assert refusal_of(unchecked.create_role_alias, **parameters).name == "InvalidRequestException"


def test_a_role_is_named_only_by_whom_may_pass_it_on(live: Live, iot: IoT, client_of: ClientOf, alias: str) -> None:
    without = client_of(live, live.create_access_key(policy(allow("iot:*"))))
    passing = allow("iam:PassRole", resource=ROLE) | {
        "Condition": {"StringEquals": {"iam:PassedToService": "credentials.iot.amazonaws.com"}}
    }
    with_role = client_of(live, live.create_access_key(policy(allow("iot:*"), passing)))

    for refused in (
        lambda: without.create_role_alias(roleAlias=alias + "2", roleArn=ROLE),
        lambda: without.update_role_alias(roleAlias=alias, roleArn=ROLE),
        lambda: with_role.update_role_alias(roleAlias=alias, roleArn=ROLE + "-other"),
        lambda: with_role.create_provisioning_template(
            templateName="refused", templateBody="{}", provisioningRoleArn=ROLE
        ),
    ):
        refusal = refusal_of(refused)
        assert (refusal.name, refusal.status) == DENIED
        assert "iam:PassRole" in refusal.message
    without.update_role_alias(roleAlias=alias, credentialDurationSeconds=900)
    with_role.update_role_alias(roleAlias=alias, roleArn=ROLE)
    assert iot.describe_role_alias(roleAlias=alias)["roleAliasDescription"]["credentialDurationSeconds"] == 900


def test_a_certificate_provider_lives_its_life(iot: IoT) -> None:
    name, token = f"provider-{secrets.token_hex(4)}", secrets.token_hex(20)
    wanted = {"lambdaFunctionArn": FUNCTION, "accountDefaultForOperations": OPERATIONS}
    created = iot.create_certificate_provider(certificateProviderName=name, clientToken=token, **wanted)
    try:
        again = iot.create_certificate_provider(certificateProviderName=name, clientToken=token, **wanted)
        assert again["certificateProviderArn"] == created["certificateProviderArn"]
        taken = refusal_of(iot.create_certificate_provider, certificateProviderName=name, **wanted)
        assert (taken.name, taken.status) == ("ResourceAlreadyExistsException", 409)
        second = refusal_of(iot.create_certificate_provider, certificateProviderName=name + "2", **wanted)
        assert (second.name, second.status) == ("LimitExceededException", 410)

        iot.update_certificate_provider(certificateProviderName=name, lambdaFunctionArn=FUNCTION + "2")
        described = iot.describe_certificate_provider(certificateProviderName=name)
        assert described["lambdaFunctionArn"] == FUNCTION + "2"
        assert described["accountDefaultForOperations"] == OPERATIONS
        (listed,) = iot.list_certificate_providers()["certificateProviders"]
        assert listed["certificateProviderName"] == name
    finally:
        iot.delete_certificate_provider(certificateProviderName=name)
    for call in (
        iot.describe_certificate_provider,
        iot.update_certificate_provider,
        iot.delete_certificate_provider,
    ):
        assert refusal_of(call, certificateProviderName=name).name == "ResourceNotFoundException"


def test_events_are_switched_on_and_off(iot: IoT) -> None:
    iot.update_event_configurations(eventConfigurations={"THING": {"Enabled": True}, "POLICY": {"Enabled": False}})
    described = iot.describe_event_configurations()
    assert described["eventConfigurations"]["THING"] == {"Enabled": True}
    assert described["eventConfigurations"]["POLICY"] == {"Enabled": False}
    assert len(described["eventConfigurations"]) == 11
    assert described["creationDate"] <= described["lastModifiedDate"]

    iot.update_event_configurations(eventConfigurations={"THING": {"Enabled": False}})
    assert iot.describe_event_configurations()["eventConfigurations"]["THING"] == {"Enabled": False}
    refusal = refusal_of(iot.update_event_configurations, eventConfigurations={"WEATHER": {"Enabled": True}})
    assert (refusal.name, refusal.status) == ("InvalidRequestException", 400)
