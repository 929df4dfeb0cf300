"""Policies of devices through AWS's SDK: every operation and every refusal, on each storage."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import AccessKey, ClientOf, IoT, Live, allow, deny, policy, refusal_of
from tests.support.devices.live_devices import unique

PREFIX = "arn:aws:iot:us-east-1:000000000000:"
UNKNOWN = PREFIX + "cert/" + "0" * 64
IDENTITY = "us-east-1:0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
NOT_FOUND, CONFLICT = ("ResourceNotFoundException", 404), ("DeleteConflictException", 409)
INVALID, LIMIT = ("InvalidRequestException", 400), ("LimitExceededException", 410)


def text(*actions: str, resource: str = "*", **more: object) -> str:
    return json.dumps(policy(allow(*actions, resource=resource) | more), indent=2)


CONNECT, PUBLISH = text("iot:Connect"), text("iot:Publish")


def new_name() -> str:
    return unique("policy")


def new_policy(iot: IoT, document: str = CONNECT) -> str:
    name = new_name()
    iot.create_policy(policyName=name, policyDocument=document)
    return name


def new_certificate(iot: IoT) -> str:
    arn: str = iot.create_certificate_from_csr(certificateSigningRequest=csr_pem("p-256"))["certificateArn"]
    return arn


def new_group(iot: IoT, parent: str | None = None) -> tuple[str, str]:
    name = unique("group")
    more = {} if parent is None else {"parentGroupName": parent}
    return name, iot.create_thing_group(thingGroupName=name, **more)["thingGroupArn"]


def names(entries: list[dict[str, Any]]) -> list[str]:
    assert all(entry["policyArn"] == f"{PREFIX}policy/{entry['policyName']}" for entry in entries)
    return [entry["policyName"] for entry in entries]


def refused(call: Callable[..., object], **parameters: object) -> tuple[str, int]:
    refusal = refusal_of(call, **parameters)
    return refusal.name, refusal.status


def test_a_policy_lives_its_life(iot: IoT) -> None:
    name = new_name()
    created = iot.create_policy(policyName=name, policyDocument=CONNECT)
    assert (created["policyName"], created["policyArn"]) == (name, f"{PREFIX}policy/{name}")
    assert (created["policyDocument"], created["policyVersionId"]) == (CONNECT, "1")

    second = iot.create_policy_version(policyName=name, policyDocument=PUBLISH)
    third = iot.create_policy_version(policyName=name, policyDocument=PUBLISH, setAsDefault=True)
    assert (second["policyVersionId"], second["isDefaultVersion"]) == ("2", False)
    assert (third["policyVersionId"], third["isDefaultVersion"]) == ("3", True)

    described, version = iot.get_policy(policyName=name), iot.get_policy_version(policyName=name, policyVersionId="2")
    assert (described["policyDocument"], described["defaultVersionId"]) == (PUBLISH, "3")
    assert described["creationDate"] <= described["lastModifiedDate"]
    assert (version["policyName"], version["isDefaultVersion"]) == (name, False)
    assert version["generationId"] == described["generationId"]

    iot.set_default_policy_version(policyName=name, policyVersionId="1")
    iot.delete_policy_version(policyName=name, policyVersionId="3")
    fourth = iot.create_policy_version(policyName=name, policyDocument=PUBLISH)
    assert fourth["policyVersionId"] == "4"
    listed = iot.list_policy_versions(policyName=name)["policyVersions"]
    assert [(each["versionId"], each["isDefaultVersion"]) for each in listed] == [
        ("4", False),
        ("2", False),
        ("1", True),
    ]
    assert listed[2]["createDate"] == described["creationDate"]
    for version_id in ("2", "4"):
        iot.delete_policy_version(policyName=name, policyVersionId=version_id)
    iot.delete_policy(policyName=name)
    assert refused(iot.get_policy, policyName=name) == NOT_FOUND
    iot.create_policy(policyName=name, policyDocument=CONNECT)
    assert iot.get_policy(policyName=name)["generationId"] != described["generationId"]


def test_a_policy_name_is_taken_once_and_the_exception_names_the_policy(iot: IoT) -> None:
    name = new_policy(iot)

    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as caught:
        iot.create_policy(policyName=name, policyDocument=PUBLISH)

    assert caught.value.response["Error"]["Message"] == f"Policy cannot be created - name already exists (name={name})"
    assert caught.value.response["resourceId"] == name
    assert caught.value.response["resourceArn"] == f"{PREFIX}policy/{name}"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "line 1, column 1"),
        ("file://policy.json", "line 1, column 1"),
        ('{"Version": "2012-10-17",\n "Statement": [}', "line 2, column 16"),
        (text("iot:Connect", Principal="*"), "line 10, column 7"),
        (text("iot:Connect", resource="x" * 2048), "2048"),
        (text("s3:GetObject"), "s3"),
    ],
)
def test_a_malformed_document_is_refused_with_position_and_reason(iot: IoT, document: str, reason: str) -> None:
    name = new_policy(iot)
    for call, parameters in (
        (iot.create_policy, {"policyName": new_name()}),
        (iot.create_policy_version, {"policyName": name}),
    ):
        refusal = refusal_of(call, policyDocument=document, **parameters)
        assert (refusal.name, refusal.status) == ("MalformedPolicyException", 400)
        assert refusal.message.startswith("Policy document is Malformed: ")
        assert reason in refusal.message


def test_the_size_of_a_document_does_not_count_white_space(iot: IoT) -> None:
    spread = CONNECT.replace(" ", " " * 400)
    assert iot.create_policy(policyName=new_name(), policyDocument=spread)["policyDocument"] == spread


def test_a_sixth_version_is_refused_in_awss_words(iot: IoT) -> None:
    name = new_policy(iot)
    for _ in range(4):
        iot.create_policy_version(policyName=name, policyDocument=PUBLISH)

    with pytest.raises(iot.exceptions.VersionsLimitExceededException) as caught:
        iot.create_policy_version(policyName=name, policyDocument=PUBLISH)

    assert caught.value.response["Error"]["Message"] == (
        f"The policy {name} already has the maximum number of versions (5)"
    )


def test_what_is_in_use_is_not_deleted(iot: IoT) -> None:
    name, certificate = new_policy(iot), new_certificate(iot)
    iot.create_policy_version(policyName=name, policyDocument=PUBLISH)
    iot.attach_policy(policyName=name, target=certificate)

    assert refused(iot.delete_policy_version, policyName=name, policyVersionId="1") == CONFLICT
    attached = refusal_of(iot.delete_policy, policyName=name)
    iot.detach_policy(policyName=name, target=certificate)
    versions = refusal_of(iot.delete_policy, policyName=name)
    iot.delete_policy_version(policyName=name, policyVersionId="2")
    iot.delete_policy(policyName=name)

    assert (attached.name, attached.status) == (versions.name, versions.status) == CONFLICT
    assert "attached to one or more principals" in attached.message
    assert "versions other than than default version exist" in versions.message


def test_what_does_not_exist_is_not_found(iot: IoT) -> None:
    name, certificate = new_policy(iot), new_certificate(iot)
    missing = {"policyName": new_name()}
    for call, parameters in (
        (iot.get_policy, missing),
        (iot.delete_policy, missing),
        (iot.create_policy_version, missing | {"policyDocument": CONNECT}),
        (iot.list_policy_versions, missing),
        (iot.get_policy_version, missing | {"policyVersionId": "1"}),
        (iot.get_policy_version, {"policyName": name, "policyVersionId": "2"}),
        (iot.set_default_policy_version, {"policyName": name, "policyVersionId": "99999999999999999999"}),
        (iot.delete_policy_version, {"policyName": name, "policyVersionId": "0"}),
        (iot.attach_policy, missing | {"target": certificate}),
        (iot.detach_policy, missing | {"target": certificate}),
        (iot.attach_policy, {"policyName": name, "target": UNKNOWN}),
        (iot.attach_policy, {"policyName": name, "target": certificate.replace("us-east-1", "eu-west-1")}),
        (iot.detach_policy, {"policyName": name, "target": UNKNOWN}),
        (iot.attach_policy, {"policyName": name, "target": PREFIX + "thinggroup/unknown"}),
        (iot.list_attached_policies, {"target": UNKNOWN}),
        (iot.list_targets_for_policy, missing),
        (iot.attach_principal_policy, {"policyName": name, "principal": UNKNOWN}),
        (iot.detach_principal_policy, {"policyName": name, "principal": UNKNOWN}),
        (iot.list_principal_policies, {"principal": UNKNOWN}),
        (iot.list_policy_principals, missing),
        (iot.get_effective_policies, {"principal": UNKNOWN}),
        (iot.get_effective_policies, {"thingName": "unknown"}),
        (iot.test_authorization, {"principal": UNKNOWN, "authInfos": [{"actionType": "CONNECT", "resources": ["*"]}]}),
    ):
        assert refused(call, **parameters) == NOT_FOUND, (call, parameters)


def test_what_is_no_target_or_no_name_is_refused(live: Live, client_of: ClientOf) -> None:
    iot = client_of(live, parameter_validation=False)
    name = new_policy(iot)
    for call, parameters in (
        (iot.create_policy, {"policyName": "no spaces", "policyDocument": CONNECT}),
        (iot.create_policy, {"policyName": "x" * 129, "policyDocument": CONNECT}),
        (iot.create_policy, {"policyName": new_name()}),
        (iot.create_policy, {"policyName": new_name(), "policyDocument": "x" * 404601}),
        (iot.get_policy_version, {"policyName": name, "policyVersionId": "v1"}),
        (iot.attach_policy, {"policyName": name, "target": PREFIX + "thing/lamp"}),
        (iot.attach_policy, {"policyName": name, "target": "lamp"}),
        (iot.attach_policy, {"policyName": name}),
        (iot.attach_principal_policy, {"policyName": name, "principal": PREFIX + "thinggroup/Lamps"}),
        (iot.list_policies, {"pageSize": 251}),
        (iot.list_policies, {"marker": "AAAA"}),
        (iot.get_effective_policies, {}),
        (iot.test_authorization, {"authInfos": []}),
    ):
        assert refused(call, **parameters) == INVALID, (call, parameters)


def test_a_policy_is_attached_to_every_kind_of_target(iot: IoT) -> None:
    name, (_, group) = new_policy(iot), new_group(iot)
    targets = [new_certificate(iot), group, IDENTITY]
    for target in targets:
        iot.attach_policy(policyName=name, target=target)
        iot.attach_policy(policyName=name, target=target)
        assert name in names(iot.list_attached_policies(target=target)["policies"])
    assert iot.list_targets_for_policy(policyName=name)["targets"] == targets
    for target in targets:
        iot.detach_policy(policyName=name, target=target)
        iot.detach_policy(policyName=name, target=target)
    assert iot.list_targets_for_policy(policyName=name)["targets"] == []


def test_an_eleventh_policy_of_a_certificate_is_refused(iot: IoT) -> None:
    certificate = new_certificate(iot)
    policies = [new_policy(iot) for _ in range(11)]
    for name in policies[:10]:
        iot.attach_policy(policyName=name, target=certificate)
    assert refused(iot.attach_policy, policyName=policies[10], target=certificate) == LIMIT
    assert refused(iot.attach_principal_policy, policyName=policies[10], principal=certificate) == LIMIT


def test_lists_are_turned_by_the_sdks_own_paginators(iot: IoT) -> None:
    certificate = new_certificate(iot)
    policies = [new_policy(iot) for _ in range(5)]
    for name in policies:
        iot.attach_policy(policyName=name, target=certificate)
    others = [new_certificate(iot) for _ in range(4)]
    for other in others:
        iot.attach_policy(policyName=policies[0], target=other)

    def paged(operation: str, member: str, **parameters: object) -> list[Any]:
        pages = list(iot.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}, **parameters))
        assert all(len(page[member]) <= 2 for page in pages)
        return [entry for page in pages for entry in page[member]]

    assert names(paged("list_attached_policies", "policies", target=certificate)) == policies
    assert names(paged("list_principal_policies", "policies", principal=certificate)) == policies[::-1]
    assert paged("list_targets_for_policy", "targets", policyName=policies[0]) == [certificate, *others]
    assert paged("list_policy_principals", "principals", policyName=policies[0]) == [*others[::-1], certificate]
    every = names(paged("list_policies", "policies"))
    assert [name for name in every if name in set(policies)] == policies[::-1]
    ascending = names(paged("list_policies", "policies", ascendingOrder=True))
    assert ascending == every[::-1]


def test_the_operations_of_the_first_years_still_work(iot: IoT) -> None:
    name, certificate = new_policy(iot), new_certificate(iot)
    iot.attach_principal_policy(policyName=name, principal=certificate)
    assert names(iot.list_principal_policies(principal=certificate)["policies"]) == [name]
    assert iot.list_policy_principals(policyName=name)["principals"] == [certificate]
    iot.detach_principal_policy(policyName=name, principal=certificate)
    assert iot.list_policy_principals(policyName=name)["principals"] == []


def test_policies_of_groups_are_in_force_for_the_devices_in_them(iot: IoT) -> None:
    parent, parent_arn = new_group(iot)
    child, child_arn = new_group(iot, parent)
    thing, certificate = unique("thing"), new_certificate(iot)
    iot.create_thing(thingName=thing)
    iot.add_thing_to_thing_group(thingGroupName=child, thingName=thing)
    iot.attach_thing_principal(thingName=thing, principal=certificate)
    upper, lower, own = new_policy(iot), new_policy(iot), new_policy(iot, PUBLISH)
    for name, target in ((upper, parent_arn), (lower, child_arn), (own, certificate)):
        iot.attach_policy(policyName=name, target=target)

    def effective(**parameters: object) -> list[str]:
        return names(iot.get_effective_policies(**parameters)["effectivePolicies"])

    assert effective(principal=certificate) == [upper, lower, own]
    assert effective(thingName=thing) == effective(principal=child_arn) == [upper, lower]
    assert effective(principal=certificate, thingName=thing) == [upper, lower, own]
    assert names(iot.list_attached_policies(target=child_arn)["policies"]) == [lower]
    assert names(iot.list_attached_policies(target=child_arn, recursive=True)["policies"]) == [upper, lower]
    (entry,) = iot.get_effective_policies(principal=parent_arn)["effectivePolicies"]
    assert entry["policyDocument"] == CONNECT

    iot.remove_thing_from_thing_group(thingGroupName=child, thingName=thing)
    assert effective(principal=certificate) == [own]


def test_authorization_is_tried_out(iot: IoT) -> None:
    certificate = new_certificate(iot)
    connect = new_policy(iot, text("iot:Connect", resource=PREFIX + "client/${iot:ClientId}"))
    silence = new_policy(iot, json.dumps(policy(deny("iot:Publish"))))
    iot.attach_policy(policyName=connect, target=certificate)
    asked = [
        {"actionType": "CONNECT", "resources": [PREFIX + "client/lamp"]},
        {"actionType": "PUBLISH", "resources": [PREFIX + "topic/a"]},
    ]

    def decisions(**parameters: object) -> list[str]:
        results = iot.test_authorization(principal=certificate, authInfos=asked, **parameters)["authResults"]
        assert [result["authInfo"] for result in results] == asked
        return [result["authDecision"] for result in results]

    assert decisions(clientId="lamp") == ["ALLOWED", "IMPLICIT_DENY"]
    assert decisions(clientId="pump") == ["IMPLICIT_DENY", "IMPLICIT_DENY"]
    assert decisions(clientId="lamp", policyNamesToAdd=[silence]) == ["ALLOWED", "EXPLICIT_DENY"]
    assert decisions(clientId="lamp", policyNamesToSkip=[connect]) == ["IMPLICIT_DENY", "IMPLICIT_DENY"]
    (result, _) = iot.test_authorization(principal=certificate, authInfos=asked)["authResults"]
    assert result["missingContextValues"] == ["iot:ClientId"]
    assert names(result["denied"]["implicitDeny"]["policies"]) == [connect]
    too_many = [new_policy(iot) for _ in range(11)]
    assert refused(iot.test_authorization, authInfos=asked, policyNamesToAdd=too_many) == LIMIT


def test_a_certificate_is_deleted_with_its_policies_by_force_alone(iot: IoT) -> None:
    name, certificate = new_policy(iot), new_certificate(iot)
    certificate_id = certificate.rpartition("/")[2]
    iot.attach_policy(policyName=name, target=certificate)
    assert refused(iot.delete_certificate, certificateId=certificate_id) == CONFLICT
    iot.delete_certificate(certificateId=certificate_id, forceDelete=True)
    assert iot.list_targets_for_policy(policyName=name)["targets"] == []
    iot.delete_policy(policyName=name)


@pytest.fixture(scope="module")
def nobody(live: Live) -> AccessKey:
    """A key that may do nothing but describe the endpoint."""
    return live.create_access_key(policy(allow("iot:DescribeEndpoint")), "--user", "nobody")


def test_every_operation_asks_the_callers_policies_about_its_resource(
    live: Live, iot: IoT, client_of: ClientOf, nobody: AccessKey
) -> None:
    name, certificate = new_policy(iot), new_certificate(iot)
    client, arn = client_of(live, nobody), f"{PREFIX}policy/{name}"
    own, version = {"policyName": name}, {"policyName": name, "policyVersionId": "1"}
    target, principal = own | {"target": certificate}, own | {"principal": certificate}
    asked = [{"actionType": "CONNECT", "resources": ["*"]}]
    for operation, parameters, resource in (
        ("CreatePolicy", own | {"policyDocument": CONNECT}, arn),
        ("GetPolicy", own, arn),
        ("ListPolicies", {}, "*"),
        ("DeletePolicy", own, arn),
        ("CreatePolicyVersion", own | {"policyDocument": CONNECT}, arn),
        ("GetPolicyVersion", version, arn),
        ("ListPolicyVersions", own, arn),
        ("DeletePolicyVersion", version, arn),
        ("SetDefaultPolicyVersion", version, arn),
        ("AttachPolicy", target, certificate),
        ("DetachPolicy", target, certificate),
        ("ListAttachedPolicies", {"target": certificate}, "*"),
        ("ListTargetsForPolicy", own, arn),
        ("AttachPrincipalPolicy", principal, certificate),
        ("DetachPrincipalPolicy", principal, certificate),
        ("ListPrincipalPolicies", {"principal": certificate}, "*"),
        ("ListPolicyPrincipals", own, "*"),
        ("GetEffectivePolicies", {"principal": certificate}, certificate),
        ("TestAuthorization", {"principal": certificate, "authInfos": asked}, certificate),
    ):
        method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation)[1:]
        refusal = refusal_of(getattr(client, method), **parameters)
        assert (refusal.name, refusal.status) == ("AccessDeniedException", 403)
        assert refusal.message == (
            f"User: arn:aws:iam::000000000000:user/nobody is not authorized to perform: iot:{operation} on resource: "
            f"{resource} because no identity-based policy allows the iot:{operation} action"
        )


def test_a_deny_for_one_certificate_holds_in_every_spelling_and_operation(
    live: Live, iot: IoT, client_of: ClientOf
) -> None:
    name, certificate = new_policy(iot), new_certificate(iot)
    key = live.create_access_key(policy(allow("iot:*"), deny("iot:*", resource=certificate)))
    client = client_of(live, key)
    prefix, _, certificate_id = certificate.rpartition("/")
    for spelling in (certificate, f"{prefix}/{certificate_id.upper()}"):
        assert refused(client.attach_policy, policyName=name, target=spelling) == ("AccessDeniedException", 403)
        assert refused(client.attach_principal_policy, policyName=name, principal=spelling) == (
            "AccessDeniedException",
            403,
        )
    assert iot.list_targets_for_policy(policyName=name)["targets"] == []
