"""Enrollment in one step: certificate, thing and policies are there together, or not at all."""

import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from msgspec.structs import replace
from tests.support.certificates.signing_requests import csr_pem
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import (
    Hook,
    Listener,
    caller_with,
    new_authority,
    shared_key_pair,
    with_own_ids,
)
from tests.support.registration.fleet import CLAIM_ID, DOCUMENT, FLEET, OPERATOR, create_template, template_body
from tests.support.registration.provisioning import HOOK_ARN

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import AccessDenied, InvalidParameters, InvalidRequest, RegistrationFailed, ResourceNotFound
from thingmint.core.identifiers import TemplateName
from thingmint.core.provisioning.stored_template import PreProvisioningHook, TemplateType
from thingmint.issuance.csr import SigningRequest, load_csr
from thingmint.issuance.keys.key_pairs import KeyPair, as_pkcs8
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import claims, provisioning_templates
from thingmint.registration.provisioning.enrollment import Enrollee, enroll, enroll_with_new_key

NAME = x509.Name(
    [
        x509.NameAttribute(x509.NameOID.COMMON_NAME, "lamp-17"),
        x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, "17"),
    ]
)
BY_KEY = Enrollee(OPERATOR)
BODY = template_body(
    thing={"ThingName": {"Ref": "ThingName"}, "AttributePayload": {"serial": {"Ref": "SerialNumber"}}},
    policies={"policy": {"PolicyDocument": DOCUMENT}},
    parameters=("ThingName", "SerialNumber"),
)


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def authority(store: MemoryStore, hook: Hook) -> RegistrationAuthority:
    return with_own_ids(replace(new_authority(store), hooks=hook))


def request(name: x509.Name = NAME) -> SigningRequest:
    return load_csr(csr_pem("p-256", name))


async def claimed(authority: RegistrationAuthority) -> Enrollee:
    made = await claims.create_claim(authority, OPERATOR, FLEET)
    return Enrollee(caller_with(), made.certificate_id, await claims.recognise_claim(authority, made.certificate_id))


async def test_without_a_template_an_active_certificate_is_issued(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    certificate = await enroll(authority, BY_KEY, request(), None)
    assert store.tables.certificates == [certificate]
    assert certificate.status is CertificateStatus.ACTIVE
    assert x509.load_der_x509_certificate(certificate.der).subject == NAME
    assert [entry.action for entry in store.tables.audit] == ["CreateCertificateFromCsr"]


async def test_a_key_is_made_and_leaves_as_pkcs8(authority: RegistrationAuthority, store: MemoryStore) -> None:
    certificate, key_pair = await enroll_with_new_key(authority, BY_KEY, None, None)
    assert key_pair == shared_key_pair()
    private_key = serialization.load_der_private_key(as_pkcs8(key_pair), None)
    assert private_key.public_key() == x509.load_der_x509_certificate(certificate.der).public_key()
    assert [entry.action for entry in store.tables.audit] == ["CreateKeysAndCertificate"]


@pytest.mark.parametrize("with_claim", [False, True])
async def test_the_plan_takes_its_parameters_from_the_subject(
    authority: RegistrationAuthority, store: MemoryStore, *, with_claim: bool
) -> None:
    await create_template(authority, BODY)
    enrollee = await claimed(authority) if with_claim else BY_KEY
    certificate = await enroll(authority, enrollee, request(), FLEET)
    assert store.tables.certificates == [certificate]
    assert certificate.status is CertificateStatus.ACTIVE
    assert [row[2] for row in store.tables.rows("thing_principal") if certificate.arn in row] != []
    assert len(store.tables.rows("policy_attachment")) == 1
    issued, registered = [entry for entry in store.tables.audit if "Template" not in entry.action][-2:]
    assert (issued.action, issued.detail["status"]) == ("CreateCertificateFromCsr", "ACTIVE")
    assert (registered.action, registered.detail["thing"]) == ("RegisterThing", "lamp-17")
    assert isinstance(authority.events, Listener)


async def test_a_template_of_first_connections_serves_as_well(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    common_name = "AWS::IoT::Certificate::CommonName"
    body = template_body(
        thing={"ThingName": {"Ref": common_name}},
        certificate={"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "INACTIVE"},
        parameters=(common_name,),
    )
    await create_template(authority, body, kind=TemplateType.JITP)
    certificate, _ = await enroll_with_new_key(authority, BY_KEY, NAME.public_bytes(), FLEET)
    assert certificate.status is CertificateStatus.INACTIVE
    assert store.tables.certificates == [certificate]


async def test_the_hook_is_asked_and_overrides(
    authority: RegistrationAuthority, store: MemoryStore, hook: Hook
) -> None:
    await create_template(authority, BODY, hook=PreProvisioningHook(HOOK_ARN))
    hook.answer = {"allowProvisioning": True, "parameterOverrides": {"ThingName": "renamed"}}
    await enroll(authority, BY_KEY, request(), FLEET)
    (asked,) = [json.loads(json.dumps(each.as_json())) for each in hook.asked]
    assert (asked["claimCertificateId"], asked["clientId"]) == ("", "")
    assert asked["parameters"] == {"CommonName": "lamp-17", "SerialNumber": "17", "ThingName": "lamp-17"}
    assert store.tables.audit[-1].detail["thing"] == "renamed"

    hook.answer = {"allowProvisioning": False}
    before = store.tables.dump()
    with pytest.raises(AccessDenied, match="did not allow"):
        await enroll(authority, Enrollee(OPERATOR, CLAIM_ID), request(), FLEET)
    assert hook.asked[-1].as_json()["claimCertificateId"] == CLAIM_ID
    assert store.tables.dump() == before


async def test_what_cannot_be_changes_nothing(authority: RegistrationAuthority, store: MemoryStore) -> None:
    other, off, impossible = TemplateName("other"), TemplateName("off"), TemplateName("impossible")
    await create_template(authority, BODY)
    await create_template(authority, BODY, name=other)
    await create_template(authority, BODY, name=off, enabled=False)
    policies = {"policy": {"PolicyName": "missing"}}
    await create_template(authority, template_body(policies=policies, parameters=()), name=impossible)
    claim = await claimed(authority)
    nameless = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "lamp-18")])
    before = store.tables.dump()
    for enrollee, name, template, error in (
        (claim, NAME, None, AccessDenied),
        (claim, NAME, other, AccessDenied),
        (BY_KEY, NAME, TemplateName("missing"), ResourceNotFound),
        (BY_KEY, NAME, off, InvalidRequest),
        (BY_KEY, NAME, impossible, RegistrationFailed),
        (BY_KEY, nameless, FLEET, InvalidParameters),
    ):
        with pytest.raises(error):
            await enroll(authority, enrollee, request(name), template)
        with pytest.raises(error):
            await enroll_with_new_key(authority, enrollee, name.public_bytes(), template)
    assert store.tables.dump() == before


async def test_a_template_that_is_deleted_while_a_key_is_made_leaves_nothing(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await create_template(authority, BODY)
    claim = await claimed(authority)

    class Meanwhile:
        async def take(self) -> KeyPair:
            await provisioning_templates.delete(authority, OPERATOR, FLEET)
            return shared_key_pair()

    with pytest.raises(AccessDenied, match="cannot be used any more"):
        await enroll_with_new_key(replace(authority, key_source=Meanwhile()), claim, NAME.public_bytes(), FLEET)
    assert store.tables.certificates == []


async def test_a_claim_that_ends_while_its_hook_is_asked_leaves_nothing(
    authority: RegistrationAuthority, store: MemoryStore, hook: Hook
) -> None:
    await create_template(authority, BODY, hook=PreProvisioningHook(HOOK_ARN))
    claim = await claimed(authority)

    class Deleting(Hook):
        async def ask(self, hook: PreProvisioningHook, question: object) -> object:
            del hook, question
            await provisioning_templates.delete(authority, OPERATOR, FLEET)
            return {"allowProvisioning": True}

    with pytest.raises(AccessDenied, match="cannot be used any more"):
        await enroll(replace(authority, hooks=Deleting()), claim, request(), FLEET)
    assert store.tables.certificates == []
