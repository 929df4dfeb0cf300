"""RegisterThing by an operator: every source of certificates, what exists already, and nothing half done."""

import json
from collections.abc import Mapping

import pytest
from cryptography import x509
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import UserCA, new_ca
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import caller_with
from tests.support.registration.fleet import DOCUMENT

from thingmint.core.certificates.ca_certificate import CACertificateStatus, CACertificateUpdate
from thingmint.core.certificates.certificate import Certificate, CertificateMode, CertificateStatus
from thingmint.core.errors import (
    InvalidParameters,
    InvalidRequest,
    RegistrationFailed,
    ServiceUnavailable,
    ThingmintError,
    UpdateConflict,
)
from thingmint.core.identifiers import (
    BillingGroupName,
    PolicyName,
    ThingGroupName,
    ThingName,
    ThingTypeName,
    parse_certificate_id,
)
from thingmint.core.paging import PageRequest
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.thing import Thing, ThingPrincipalType
from thingmint.core.registry.thing_type import ThingTypeProperties
from thingmint.registration.certificates import ca_certificates, certificates
from thingmint.registration.certificates.ca_certificates import CARegistration
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.policies import policies
from thingmint.registration.provisioning.provisioning import Provisioned, parsed_template, register_thing
from thingmint.registration.registry import billing_groups, thing_groups, thing_principals, thing_types, things
from thingmint.registration.registry.thing_group_members import list_groups

CALLER = caller_with()
LAMP = ThingName("lamp")
FIRST = PageRequest(10, None, ascending=True)
ACTIVE, INACTIVE = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE
Json = Mapping[str, object]


def ref(name: str) -> dict[str, str]:
    return {"Ref": name}


def body(
    *,
    thing: Json | None = None,
    certificate: Json | None = None,
    overrides: Json | None = None,
    certificate_overrides: Json | None = None,
    **policies: Json,
) -> str:
    resources: dict[str, object] = {
        name: {"Type": "AWS::IoT::Policy", "Properties": properties} for name, properties in policies.items()
    }
    if thing is not None:
        resources["thing"] = {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": "lamp", **thing},
            "OverrideSettings": overrides or {},
        }
    if certificate is not None:
        resources["certificate"] = {
            "Type": "AWS::IoT::Certificate",
            "Properties": certificate,
            "OverrideSettings": certificate_overrides or {},
        }
    names = ("CSR", "Id", "Pem", "CAPem", "Colour")
    return json.dumps({"Parameters": {name: {"Type": "String"} for name in names}, "Resources": resources})


async def refused_with_nothing_changed(
    authority: RegistrationAuthority,
    store: MemoryStore,
    text: str,
    parameters: Mapping[str, str],
    error: type[ThingmintError],
    match: str | None = None,
) -> None:
    before = store.tables.dump()
    with pytest.raises(error, match=match):
        await register_thing(authority, CALLER, text, parameters)
    assert store.tables.dump() == before


async def issued(authority: RegistrationAuthority, *, active: bool = False) -> Certificate:
    return await certificates.issue_from_csr(authority, CALLER, csr_pem("p-256"), active=active)


async def registered_ca(authority: RegistrationAuthority) -> UserCA:
    ca = new_ca()
    await ca_certificates.register(authority, CALLER, CARegistration(ca.pem, None, CertificateMode.SNI_ONLY, True))
    return ca


async def create_thing(authority: RegistrationAuthority, **attributes: str) -> Thing:
    thing = things.new_thing(authority, CALLER, LAMP, attributes=Attributes.of(attributes))
    return await things.create(authority, CALLER, thing)


async def create_groups(authority: RegistrationAuthority, *names: str) -> None:
    for name in names:
        await thing_groups.create(authority, CALLER, ThingGroupName(name), attributes=Attributes(), tags={})


async def thing_of(authority: RegistrationAuthority) -> Thing:
    return await things.describe(authority, CALLER, LAMP)


async def groups_of(authority: RegistrationAuthority) -> set[str]:
    return set((await list_groups(authority, CALLER, LAMP, FIRST)).items)


async def test_a_signing_request_gets_a_certificate_a_thing_and_policies(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await policies.create(authority, CALLER, PolicyName("named"), json.dumps(DOCUMENT), {})
    text = body(
        thing={"AttributePayload": {"colour": ref("Colour")}},
        certificate={"CertificateSigningRequest": ref("CSR"), "ThingPrincipalType": "EXCLUSIVE_THING"},
        named={"PolicyName": "named"},
        inline={"PolicyDocument": DOCUMENT},
    )
    request = csr_pem("p-256")
    done = await register_thing(authority, CALLER, text, {"CSR": request, "Colour": "red"})
    (certificate,) = store.tables.certificates
    assert done.certificate == certificate
    assert certificate.status is ACTIVE
    parsed = x509.load_der_x509_certificate(certificate.der)
    assert parsed.public_key() == x509.load_pem_x509_csr(request.encode()).public_key()
    assert done.resource_arns.keys() == {"thing", "certificate", "named", "inline"}
    assert done.resource_arns["named"] == "arn:aws:iot:eu-west-1:123456789012:policy/named"
    assert done.resource_arns["thing"] == "arn:aws:iot:eu-west-1:123456789012:thing/lamp"
    thing = await thing_of(authority)
    assert thing.attributes.as_dict() == {"colour": "red"}
    page = await thing_principals.list_principals(authority, CALLER, LAMP, FIRST)
    assert [(each.principal, each.type) for each in page.items] == [
        (certificate.arn, ThingPrincipalType.EXCLUSIVE_THING)
    ]
    assert [entry.action for entry in store.tables.audit[1:]] == ["CreateCertificateFromCsr", "RegisterThing"]
    assert len(store.tables.rows("policy_attachment")) == 2


async def test_what_tells_of_the_production_is_in_every_audit_entry(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    text = body(thing={}, certificate={"CertificateSigningRequest": ref("CSR")})
    given = {"CSR": csr_pem("p-256")}
    told = {"Thingmint::Batch": "B-17", "Thingmint::Station": "line 2"}
    await refused_with_nothing_changed(authority, store, text, given | {"Thingmint::Batch": ""}, InvalidRequest)
    await register_thing(authority, CALLER, text, given | told)
    assert {entry.action for entry in store.tables.audit} == {"CreateCertificateFromCsr", "RegisterThing"}
    for entry in store.tables.audit:
        assert (entry.detail["batch"], entry.detail["station"], "operator" in entry.detail) == ("B-17", "line 2", False)


async def test_a_registered_certificate_is_used_by_its_id_and_nothing_changes_the_second_time(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    certificate = await issued(authority)
    text = body(thing={}, certificate={"CertificateId": ref("Id")}, policy={"PolicyDocument": DOCUMENT})
    first = await register_thing(authority, CALLER, text, {"Id": certificate.certificate_id})
    assert first.certificate is not None
    assert (first.certificate.status, first.certificate.customer_version) == (ACTIVE, 2)
    before = store.tables.dump()
    assert await register_thing(authority, CALLER, text, {"Id": certificate.certificate_id}) == first
    assert store.tables.dump() == before


async def test_a_certificate_of_a_users_ca_is_registered_and_found_again(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = await registered_ca(authority)
    pem = ca.issue_pem()
    text = body(certificate={"CertificatePem": ref("Pem"), "CACertificatePem": ref("CAPem"), "Status": "INACTIVE"})
    first = await register_thing(authority, CALLER, text, {"Pem": pem, "CAPem": ca.pem})
    (certificate,) = store.tables.certificates
    assert first == Provisioned(certificate, None, {"certificate": certificate.arn}, {})
    assert (certificate.status, certificate.mode) == (INACTIVE, CertificateMode.SNI_ONLY)
    assert store.tables.audit[-1].action == "RegisterCertificate"
    before = store.tables.dump()
    assert await register_thing(authority, CALLER, text, {"Pem": pem, "CAPem": ca.pem}) == first
    assert store.tables.dump() == before


async def test_a_certificate_whose_ca_is_not_active_is_not_registered(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = await registered_ca(authority)
    text = body(certificate={"CertificatePem": ref("Pem")})
    stranger = new_ca("Other CA").issue_pem()
    await refused_with_nothing_changed(authority, store, text, {"Pem": stranger}, RegistrationFailed, "not registered")
    inactive = CACertificateUpdate(status=CACertificateStatus.INACTIVE)
    ca_id = parse_certificate_id(store.tables.rows("ca_certificate", "certificate_id")[0][0])
    await ca_certificates.update(authority, CALLER, ca_id, inactive)
    await refused_with_nothing_changed(
        authority, store, text, {"Pem": ca.issue_pem()}, RegistrationFailed, "not ACTIVE"
    )
    await refused_with_nothing_changed(authority, store, text, {"Pem": "garbage"}, RegistrationFailed, "certificate")


@pytest.mark.parametrize(
    ("certificate", "parameters", "error", "match"),
    [
        ({"CertificateId": "0" * 64}, {}, RegistrationFailed, "does not exist"),
        ({"CertificateSigningRequest": ref("CSR")}, {"CSR": "garbage"}, InvalidRequest, "PEM"),
        ({"CertificateSigningRequest": ref("CSR")}, {}, InvalidParameters, "Cannot resolve reference value: CSR"),
    ],
)
async def test_a_certificate_that_cannot_be_leaves_no_thing(
    authority: RegistrationAuthority,
    store: MemoryStore,
    certificate: Json,
    parameters: Mapping[str, str],
    error: type[ThingmintError],
    match: str,
) -> None:
    text = body(thing={}, certificate=certificate, policy={"PolicyDocument": DOCUMENT})
    await refused_with_nothing_changed(authority, store, text, parameters, error, match)


async def test_a_lost_commit_leaves_nothing(authority: RegistrationAuthority, store: MemoryStore) -> None:
    store.lose_commit_with = ServiceUnavailable()
    text = body(thing={}, certificate={"CertificateSigningRequest": ref("CSR")}, policy={"PolicyDocument": DOCUMENT})
    await refused_with_nothing_changed(authority, store, text, {"CSR": csr_pem("p-256")}, ServiceUnavailable)


async def test_a_template_without_a_certificate_makes_a_thing_and_a_policy(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    done = await register_thing(authority, CALLER, body(thing={}, policy={"PolicyDocument": DOCUMENT}), {})
    assert done.certificate is None
    assert done.thing_name == LAMP
    assert store.tables.audit[-1].resource == done.resource_arns["thing"]
    policy_alone = await register_thing(
        authority, CALLER, body(policy={"PolicyDocument": DOCUMENT | {"Id": "other"}}), {}
    )
    assert store.tables.audit[-1].resource == policy_alone.resource_arns["policy"]


async def test_a_policy_that_is_only_named_must_exist(authority: RegistrationAuthority, store: MemoryStore) -> None:
    text = body(thing={}, policy={"PolicyName": "missing"})
    await refused_with_nothing_changed(authority, store, text, {}, RegistrationFailed, "policy missing does not exist")


async def test_a_policy_with_a_later_version_is_used_and_one_without_the_document_is_not(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    certificate = await issued(authority)
    text = body(certificate={"CertificateId": ref("Id")}, policy={"PolicyDocument": DOCUMENT})
    parameters = {"Id": certificate.certificate_id}
    done = await register_thing(authority, CALLER, body(policy={"PolicyDocument": DOCUMENT}), {})
    name = PolicyName(done.resource_arns["policy"].rpartition("/")[2])
    later = json.dumps(DOCUMENT | {"Id": "later"})
    await policies.create_version(authority, CALLER, name, later, as_default=True)
    await register_thing(authority, CALLER, text, parameters)
    assert len(store.tables.rows("policy_attachment")) == 1
    await policies.delete_version(authority, CALLER, name, 1)
    await refused_with_nothing_changed(authority, store, text, parameters, UpdateConflict, "another document")


async def test_an_eleventh_policy_is_refused(authority: RegistrationAuthority, store: MemoryStore) -> None:
    certificate = await issued(authority)
    eleven = {f"policy{number}": {"PolicyDocument": DOCUMENT | {"Id": str(number)}} for number in range(11)}
    text = body(certificate={"CertificateId": ref("Id")}, **eleven)
    parameters = {"Id": certificate.certificate_id}
    message = "^Resources: 11 policies are declared, and a certificate has at most 10$"
    await refused_with_nothing_changed(authority, store, text, parameters, InvalidRequest, message)
    ten = body(certificate={"CertificateId": ref("Id")}, **dict(list(eleven.items())[:10]))
    await register_thing(authority, CALLER, ten, parameters)
    last = body(certificate={"CertificateId": ref("Id")}, last=eleven["policy10"])
    await refused_with_nothing_changed(authority, store, last, parameters, RegistrationFailed, "maximum number")
    assert len((await register_thing(authority, CALLER, body(**eleven), {})).resource_arns) == 11


async def test_a_thing_gets_its_type_its_groups_and_its_billing_group(authority: RegistrationAuthority) -> None:
    await thing_types.create(authority, CALLER, ThingTypeName("bulb"), ThingTypeProperties(), {})
    await billing_groups.create(authority, CALLER, BillingGroupName("paid"), "", {})
    await create_groups(authority, "a", "b")
    text = body(thing={"ThingTypeName": "bulb", "BillingGroup": "paid", "ThingGroups": ["b", "a"]})
    await register_thing(authority, CALLER, text, {})
    thing = await thing_of(authority)
    assert (thing.type_name, thing.billing_group_name, thing.version) == ("bulb", "paid", 1)
    assert await groups_of(authority) == {"a", "b"}


async def test_a_thing_that_exists_keeps_its_billing_group(authority: RegistrationAuthority) -> None:
    for name in ("paid", "other"):
        await billing_groups.create(authority, CALLER, BillingGroupName(name), "", {})
    await register_thing(authority, CALLER, body(thing={"BillingGroup": "paid"}), {})
    overrides = {"AttributePayload": "REPLACE", "ThingTypeName": "REPLACE", "ThingGroups": "REPLACE"}
    await register_thing(authority, CALLER, body(thing={"BillingGroup": "other"}, overrides=overrides), {})
    assert (await thing_of(authority)).billing_group_name == "paid"


@pytest.mark.parametrize(
    ("thing", "match"),
    [
        ({"ThingTypeName": "missing"}, "thing type missing"),
        ({"BillingGroup": "missing"}, "billing group missing"),
        ({"ThingGroups": ["missing"]}, "Thing group missing"),
    ],
)
async def test_what_a_thing_belongs_to_must_exist(
    authority: RegistrationAuthority, store: MemoryStore, thing: Json, match: str
) -> None:
    await refused_with_nothing_changed(authority, store, body(thing=thing), {}, RegistrationFailed, match)


async def test_a_deprecated_type_is_not_given_to_a_new_thing_nor_to_another(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    bulb = ThingTypeName("bulb")
    await thing_types.create(authority, CALLER, bulb, ThingTypeProperties(), {})
    await thing_types.deprecate(authority, CALLER, bulb, undo=False)
    text = body(thing={"ThingTypeName": "bulb"}, overrides={"ThingTypeName": "REPLACE"})
    await refused_with_nothing_changed(authority, store, text, {}, InvalidRequest, "deprecated")
    await create_thing(authority)
    await refused_with_nothing_changed(authority, store, text, {}, InvalidRequest, "deprecated")
    await thing_types.deprecate(authority, CALLER, bulb, undo=True)
    await register_thing(authority, CALLER, text, {})
    await thing_types.deprecate(authority, CALLER, bulb, undo=False)
    # The thing has it already.
    await register_thing(authority, CALLER, text, {})
    assert (await thing_of(authority)).type_name == bulb


async def test_a_thing_that_exists_stays_unless_the_template_overrides_it(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    before = await create_thing(authority, colour="red", room="12")
    payload = {"AttributePayload": {"colour": "blue"}}
    await register_thing(authority, CALLER, body(thing=payload), {})
    assert await thing_of(authority) == before
    conflict = body(thing=payload, overrides={"AttributePayload": "FAIL"})
    await refused_with_nothing_changed(authority, store, conflict, {}, UpdateConflict, "lamp exists already")
    await register_thing(authority, CALLER, body(thing=payload, overrides={"AttributePayload": "MERGE"}), {})
    merged = await thing_of(authority)
    assert (merged.attributes.as_dict(), merged.version) == ({"colour": "blue", "room": "12"}, 2)
    await register_thing(authority, CALLER, body(thing=payload, overrides={"AttributePayload": "REPLACE"}), {})
    assert (await thing_of(authority)).attributes.as_dict() == {"colour": "blue"}


async def test_fail_refuses_a_second_certificate_and_lets_the_first_repeat_itself(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    first, second = await issued(authority), await issued(authority)
    text = body(
        thing={"AttributePayload": {"colour": ref("Colour")}},
        certificate={"CertificateId": ref("Id")},
        overrides={"ThingTypeName": "FAIL", "AttributePayload": "FAIL"},
    )
    parameters = {"Id": first.certificate_id, "Colour": "red"}
    done = await register_thing(authority, CALLER, text, parameters)
    assert await register_thing(authority, CALLER, text, parameters) == done
    taken = {"Id": second.certificate_id, "Colour": "red"}
    await refused_with_nothing_changed(authority, store, text, taken, UpdateConflict, "lamp exists already")
    changed = parameters | {"Colour": "blue"}
    await refused_with_nothing_changed(authority, store, text, changed, UpdateConflict, "another AttributePayload")
    arn = f"arn:aws:iot:eu-west-1:123456789012:cert/{first.certificate_id}"
    await thing_principals.detach(authority, CALLER, LAMP, arn)
    await refused_with_nothing_changed(authority, store, text, parameters, UpdateConflict, "lamp exists already")


async def test_groups_of_a_thing_that_exists_are_overridden_as_the_template_says(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await create_groups(authority, "a", "b", "c")
    await register_thing(authority, CALLER, body(thing={"ThingGroups": ["a", "b"]}), {})
    await register_thing(authority, CALLER, body(thing={"ThingGroups": ["c"]}), {})
    assert await groups_of(authority) == {"a", "b"}
    conflict = body(thing={"ThingGroups": ["c"]}, overrides={"ThingGroups": "FAIL"})
    await refused_with_nothing_changed(authority, store, conflict, {}, UpdateConflict, "lamp exists already")
    await register_thing(authority, CALLER, body(thing={"ThingGroups": ["c"]}, overrides={"ThingGroups": "MERGE"}), {})
    assert await groups_of(authority) == {"a", "b", "c"}
    text = body(thing={"ThingGroups": ["b"]}, overrides={"ThingGroups": "REPLACE"})
    await register_thing(authority, CALLER, text, {})
    assert await groups_of(authority) == {"b"}
    assert (await thing_of(authority)).version == 1


async def test_a_certificate_that_belongs_to_one_thing_alone_gets_no_other(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    certificate = await issued(authority)
    exclusive = {"CertificateId": ref("Id"), "ThingPrincipalType": "EXCLUSIVE_THING"}
    parameters = {"Id": certificate.certificate_id}
    await register_thing(authority, CALLER, body(thing={}, certificate=exclusive), parameters)
    for thing, properties in (
        ({"ThingName": "other"}, exclusive),
        ({"ThingName": "other"}, {"CertificateId": ref("Id")}),
    ):
        text = body(thing=thing, certificate=properties)
        await refused_with_nothing_changed(authority, store, text, parameters, InvalidRequest, "exclusively")


@pytest.mark.parametrize(("override", "status"), [(None, ACTIVE), ("REPLACE", ACTIVE), ("DO_NOTHING", INACTIVE)])
async def test_the_operators_template_gives_a_certificate_its_status_unless_it_says_otherwise(
    authority: RegistrationAuthority, override: str | None, status: CertificateStatus
) -> None:
    certificate = await issued(authority)
    overrides = None if override is None else {"Status": override}
    text = body(certificate={"CertificateId": ref("Id")}, certificate_overrides=overrides)
    done = await register_thing(authority, CALLER, text, {"Id": certificate.certificate_id})
    assert done.certificate is not None
    assert done.certificate.status is status


async def test_a_status_that_would_change_is_refused_where_the_template_says_fail(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    certificate = await issued(authority)
    parameters = {"Id": certificate.certificate_id}
    active, inactive = (
        body(certificate={"CertificateId": ref("Id"), "Status": status}, certificate_overrides={"Status": "FAIL"})
        for status in (ACTIVE, INACTIVE)
    )
    await refused_with_nothing_changed(authority, store, active, parameters, UpdateConflict, "is INACTIVE already")
    done = await register_thing(authority, CALLER, inactive, parameters)
    assert done.certificate is not None
    assert done.certificate.status is INACTIVE


async def test_a_revoked_certificate_is_not_registered_again(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    certificate = await issued(authority)
    await certificates.update_status(authority, CALLER, certificate.certificate_id, CertificateStatus.REVOKED)
    text = body(thing={}, certificate={"CertificateId": ref("Id")})
    parameters = {"Id": certificate.certificate_id}
    await refused_with_nothing_changed(authority, store, text, parameters, RegistrationFailed, "is REVOKED")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"Resources": {"x": {"Type": "AWS::S3::Bucket"}}}'])
async def test_what_is_no_template_is_refused(authority: RegistrationAuthority, store: MemoryStore, text: str) -> None:
    await refused_with_nothing_changed(authority, store, text, {}, InvalidRequest)


def test_a_template_is_parsed_once() -> None:
    text = body(thing={})
    kind = parsed_template.__wrapped__.__annotations__["kind"]
    assert parsed_template(text, kind.REGISTER_THING) is parsed_template(text, kind.REGISTER_THING)
