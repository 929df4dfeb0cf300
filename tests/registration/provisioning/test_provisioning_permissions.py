"""What templates do in the words of actions, and roles that do not allow all of it."""

import json
from collections.abc import Mapping, Sequence

import pytest
from msgspec.structs import replace
from tests.support.certificates.entrances import open_ca
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import new_ca
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import caller_with, new_authority
from tests.support.registration.fleet import DEVICE, OPERATOR, create_template, template_body, waiting_certificate
from tests.support.registration.fleet import FLEET as NAME
from tests.support.registration.provisioning import ROLE_ARN

from thingmint.core.errors import AccessDenied
from thingmint.core.identifiers import BillingGroupName, Scope, ThingGroupName
from thingmint.core.policies.language import Policy, parse_policy
from thingmint.core.policies.role_policies import RolePolicies
from thingmint.core.provisioning.plan import ProvisioningPlan, plan
from thingmint.core.provisioning.template import TemplateKind, parse_template
from thingmint.core.registry.attributes import Attributes
from thingmint.registration.kernel import tags
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import device_provisioning, provisioning
from thingmint.registration.provisioning.provisioning import prepared_run, provision
from thingmint.registration.provisioning.provisioning_permissions import permissions_of
from thingmint.registration.registry import billing_groups, thing_groups

OURS = "arn:aws:iot:eu-west-1:123456789012:"
DOCUMENT = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}]}
Json = Mapping[str, object]


def body(certificate: Json | None, thing: Json | None = None, overrides: Json | None = None) -> str:
    resources: dict[str, object] = {
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": DOCUMENT}},
        "named": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "named"}},
    }
    if certificate is not None:
        resources["certificate"] = {"Type": "AWS::IoT::Certificate", "Properties": certificate}
    if thing is not None:
        properties = {"ThingName": "lamp", **thing}
        resources["thing"] = {
            "Type": "AWS::IoT::Thing",
            "Properties": properties,
            "OverrideSettings": overrides or {},
        }
    return json.dumps({"Resources": resources})


def needed(text: str) -> list[tuple[str, str]]:
    planned = plan(parse_template(text, TemplateKind.REGISTER_THING), {})
    scope: Scope = OPERATOR.scope
    found = [(each.action, each.resource) for each in permissions_of(scope, planned, None)]
    return [(action.removeprefix("iot:"), resource.removeprefix(OURS)) for action, resource in found]


def policy_name() -> str:
    planned = plan(parse_template(body(None), TemplateKind.REGISTER_THING), {})
    return planned.policies[0].name


def test_policies_alone_are_created() -> None:
    assert needed(body(None)) == [("CreatePolicy", f"policy/{policy_name()}")]


@pytest.mark.parametrize(
    ("certificate", "steps"),
    [
        ({"CertificateId": "ab" * 32}, [("UpdateCertificate", "cert/*")]),
        ({"CertificateSigningRequest": "x"}, [("CreateCertificateFromCsr", "*")]),
        ({"CertificatePem": "x"}, [("RegisterCertificate", "*"), ("UpdateCertificate", "cert/*")]),
    ],
)
def test_a_certificate_gets_its_policies_and_its_status(certificate: Json, steps: list[tuple[str, str]]) -> None:
    assert needed(body(certificate)) == [
        ("CreatePolicy", f"policy/{policy_name()}"),
        ("AttachPolicy", "cert/*"),
        ("AttachPolicy", "cert/*"),
        *steps,
    ]


def test_a_thing_is_created_changed_put_into_groups_and_attached() -> None:
    thing = {"ThingGroups": ["a", "b"], "BillingGroup": "paid"}
    overrides = {"ThingTypeName": "REPLACE", "ThingGroups": "REPLACE"}
    assert needed(body({"CertificateId": "ab" * 32}, thing, overrides))[3:] == [
        ("CreateThing", "thing/lamp"),
        ("UpdateThing", "thing/lamp"),
        ("AddThingToBillingGroup", "billinggroup/paid"),
        ("AddThingToBillingGroup", "thing/lamp"),
        ("AddThingToThingGroup", "thinggroup/a"),
        ("AddThingToThingGroup", "thing/lamp"),
        ("AddThingToThingGroup", "thinggroup/b"),
        ("AddThingToThingGroup", "thing/lamp"),
        ("RemoveThingFromThingGroup", "thinggroup/*"),
        ("RemoveThingFromThingGroup", "thing/lamp"),
        ("UpdateCertificate", "cert/*"),
        ("AttachThingPrincipal", "cert/*"),
    ]


def test_a_thing_that_stays_as_it_is_is_not_changed() -> None:
    for overrides in ({}, {"ThingGroups": "MERGE", "ThingTypeName": "FAIL"}):
        assert needed(body(None, {"ThingGroups": []}, overrides))[1:] == [("CreateThing", "thing/lamp")]


def policy(*statements: Json) -> Policy:
    return parse_policy(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def statement(actions: Sequence[str], resource: object = "*", effect: str = "Allow", **condition: Json) -> Json:
    named = {"Condition": condition} if condition else {}
    return {"Effect": effect, "Action": [f"iot:{each}" for each in actions], "Resource": resource, **named}


STEPS = {"CreatePolicy", "AttachPolicy", "CreateThing", "UpdateCertificate", "AttachThingPrincipal"}
TEMPLATE = template_body(thing={}, policies={"policy": {"PolicyDocument": DOCUMENT}})


def authority_with(store: MemoryStore, *statements: Json) -> RegistrationAuthority:
    return replace(new_authority(store), roles=RolePolicies({ROLE_ARN: policy(*statements)}))


async def register(authority: RegistrationAuthority, token: str) -> object:
    return await device_provisioning.register_thing(authority, DEVICE, NAME, token, {"SerialNumber": "1"}, "client")


async def test_a_role_that_allows_every_step_lets_its_template_register_a_device(store: MemoryStore) -> None:
    authority = authority_with(
        store,
        statement(["CreatePolicy"], f"{OURS}policy/*"),
        statement(["CreateThing"], f"{OURS}thing/sensor-*"),
        statement(["AttachPolicy", "UpdateCertificate"], f"{OURS}cert/*"),
        statement(["AttachThingPrincipal"], f"{OURS}cert/*", ArnLike={"iot:thingArn": f"{OURS}thing/sensor-*"}),
    )
    await create_template(authority, TEMPLATE)
    await register(authority, (await waiting_certificate(authority)).ownership_token)
    assert len(store.tables.rows("thing")) == 1


@pytest.mark.parametrize("missing", sorted(STEPS))
@pytest.mark.parametrize("is_denied", [False, True])
async def test_a_role_that_does_not_allow_a_step_registers_nobody(
    store: MemoryStore, missing: str, *, is_denied: bool
) -> None:
    statements = (
        [statement(["*"]), statement([missing], effect="Deny")] if is_denied else [statement(sorted(STEPS - {missing}))]
    )
    authority = authority_with(store, *statements)
    await create_template(authority, TEMPLATE)
    token = (await waiting_certificate(authority)).ownership_token
    before = store.tables.dump()
    with pytest.raises(AccessDenied, match=f"User: {ROLE_ARN} is not authorized to perform: iot:{missing} on"):
        await register(authority, token)
    assert store.tables.dump() == before


async def test_a_role_that_is_not_in_the_settings_allows_everything(store: MemoryStore) -> None:
    authority = replace(new_authority(store), roles=RolePolicies({f"{ROLE_ARN}Other": policy(statement(["None"]))}))
    await create_template(authority, TEMPLATE)
    await register(authority, (await waiting_certificate(authority)).ownership_token)
    assert len(store.tables.rows("thing")) == 1


async def test_tags_and_the_time_are_condition_keys_of_a_role(store: MemoryStore) -> None:
    group = ThingGroupName("meters")
    text = body(None, {"ThingGroups": ["meters"], "BillingGroup": "paid"})
    denied = statement(
        ["AddThingToThingGroup"],
        effect="Deny",
        StringEquals={"aws:ResourceTag/hall": "7"},
        DateGreaterThan={"aws:CurrentTime": "2000-01-01T00:00:00Z"},
        NumericGreaterThan={"aws:EpochTime": "946684800"},
    )
    authority = authority_with(store, statement(["*"]), denied)
    await thing_groups.create(authority, OPERATOR, group, attributes=Attributes(), tags={})
    await billing_groups.create(authority, OPERATOR, BillingGroupName("paid"), "", {})
    planned = plan(parse_template(text, TemplateKind.REGISTER_THING), {})
    await prepared_run(authority, OPERATOR, planned, ROLE_ARN)
    await tags.tag(authority, OPERATOR, f"{OURS}thinggroup/meters", {"hall": "7"})
    with pytest.raises(AccessDenied, match="explicit deny"):
        await prepared_run(authority, OPERATOR, planned, ROLE_ARN)


async def test_a_certificate_is_asked_for_by_its_id_once_it_is_known(store: MemoryStore) -> None:
    authority = authority_with(
        store, statement(["CreateCertificateFromCsr"]), statement(["AttachPolicy"], f"{OURS}cert/*")
    )
    text = json.dumps(
        {
            "Resources": {
                "certificate": {
                    "Type": "AWS::IoT::Certificate",
                    "Properties": {"CertificateSigningRequest": csr_pem("p-256")},
                },
                "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": DOCUMENT}},
            }
        }
    )
    planned = plan(parse_template(text, TemplateKind.REGISTER_THING), {})
    with pytest.raises(AccessDenied, match="iot:CreatePolicy"):
        await provision(authority, caller_with(), planned, role_arn=ROLE_ARN)
    assert store.tables.certificates == []
    assert (await provision(authority, caller_with(), planned)).certificate is not None


async def two_groups(authority: RegistrationAuthority) -> None:
    """Make the groups a and b, and the thing lamp in both of them."""
    for name in ("a", "b"):
        await thing_groups.create(authority, OPERATOR, ThingGroupName(name), attributes=Attributes(), tags={})
    await provisioning.register_thing(authority, OPERATOR, moving("a", "b"), {})


def moving(*groups: str) -> str:
    """Return a template that puts the thing into these groups and takes it out of all others."""
    thing = {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": "lamp", "ThingGroups": list(groups)}}
    return json.dumps({"Resources": {"thing": thing | {"OverrideSettings": {"ThingGroups": "REPLACE"}}}})


KEEPS_B = (statement(["*"]), statement(["RemoveThingFromThingGroup"], f"{OURS}thinggroup/b", effect="Deny"))


async def test_a_role_takes_a_thing_out_of_no_group_that_it_may_not(store: MemoryStore) -> None:
    authority = authority_with(store, *KEEPS_B)
    await two_groups(authority)
    before = store.tables.dump()
    planned = plan(parse_template(moving("a"), TemplateKind.REGISTER_THING), {})
    with pytest.raises(AccessDenied, match=r"RemoveThingFromThingGroup on resource: .*:thinggroup/b with an explicit"):
        await provision(authority, OPERATOR, planned, role_arn=ROLE_ARN)
    assert store.tables.dump() == before
    planned = plan(parse_template(moving("b"), TemplateKind.REGISTER_THING), {})
    await provision(authority, OPERATOR, planned, role_arn=ROLE_ARN)


async def test_register_thing_takes_a_thing_out_of_no_group_against_its_callers_policies(store: MemoryStore) -> None:
    authority, caller = new_authority(store), caller_with(policy(*KEEPS_B))
    await two_groups(authority)
    before = store.tables.dump()
    with pytest.raises(AccessDenied, match=r"RemoveThingFromThingGroup on resource: .*:thinggroup/b with an explicit"):
        await provisioning.register_thing(authority, caller, moving("a"), {})
    assert store.tables.dump() == before
    await provisioning.register_thing(authority, caller, moving("b"), {})
    # What is not denied need not be allowed.
    await provisioning.register_thing(authority, caller_with(policy(statement(["RegisterThing"]))), moving(), {})


async def test_a_role_that_registers_certificates_changes_none_that_is_registered(store: MemoryStore) -> None:
    authority, ca = authority_with(store, statement(["RegisterCertificate"])), new_ca()
    await open_ca(authority, ca, OPERATOR)
    properties = {"CertificatePem": ca.issue_pem(), "Status": "INACTIVE"}

    def by_pem() -> ProvisioningPlan:
        certificate = {"Type": "AWS::IoT::Certificate", "Properties": properties}
        return plan(parse_template(json.dumps({"Resources": {"c": certificate}}), TemplateKind.REGISTER_THING), {})

    done = await provision(authority, OPERATOR, by_pem(), role_arn=ROLE_ARN)
    assert done.certificate is not None
    properties["Status"] = "ACTIVE"
    with pytest.raises(AccessDenied, match=f"iot:UpdateCertificate on resource: {done.certificate.arn}"):
        await provision(authority, OPERATOR, by_pem(), role_arn=ROLE_ARN)
    assert store.tables.certificates == [done.certificate]
