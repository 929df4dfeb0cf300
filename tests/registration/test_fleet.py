"""Fleet provisioning: keys, tokens and RegisterThing as a device gets them, whichever edge it comes through."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.authority import NOW, Hook, new_authority, shared_key_pair
from tests.support.fleet import CLAIM_ID, DEVICE, DOCUMENT, FLEET, OPERATOR, USUAL, create_template, template_body
from tests.support.fleet import waiting_certificate as waiting
from tests.support.memory_store import MemoryStore
from tests.support.provisioning import HOOK_ARN, JITP_BODY
from tests.support.signing import SettableClock

from thingmint.core.certificate import CertificateStatus
from thingmint.core.errors import (
    AccessDenied,
    InvalidParameters,
    InvalidRequest,
    ResourceNotFound,
    ServiceUnavailable,
    UpdateConflict,
)
from thingmint.core.hook import HookFailed, Question
from thingmint.core.identifiers import TemplateName
from thingmint.core.ownership import OwnershipTokenInvalid
from thingmint.core.provisioning_template import PreProvisioningHook, TemplateType, TemplateUpdate
from thingmint.issuance.pem import certificate_pem
from thingmint.registration import certificates, fleet, provisioning_templates
from thingmint.registration.authority import RegistrationAuthority
from thingmint.registration.provisioning import Provisioned

HOOKED = PreProvisioningHook(HOOK_ARN)
SERIAL = {"SerialNumber": "17"}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def authority(store: MemoryStore, clock: SettableClock, hook: Hook) -> RegistrationAuthority:
    return replace(new_authority(store), clock=clock, hooks=hook)


async def register(
    authority: RegistrationAuthority,
    token: str,
    parameters: Mapping[str, str] = SERIAL,
    *,
    name: TemplateName = FLEET,
    device: fleet.Device = DEVICE,
) -> Provisioned:
    return await fleet.register_thing(authority, device, name, token, parameters, "client-1")


async def test_keys_come_with_a_certificate_that_waits_and_a_token(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    identity, key_pair = await fleet.create_keys(authority, DEVICE)
    assert key_pair == shared_key_pair()
    assert store.tables.certificates == [identity.certificate]
    assert identity.certificate.status is CertificateStatus.PENDING_ACTIVATION
    assert [row[0] for row in store.tables.rows("certificate_ownership")] == [identity.certificate.certificate_id]
    assert [entry.action for entry in store.tables.audit] == ["CreateKeysAndCertificate"]
    assert identity.ownership_token not in repr(store.tables.audit)


async def test_a_signing_request_is_answered_with_a_certificate_that_waits_and_a_token(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    identity = await waiting(authority)
    assert store.tables.certificates == [identity.certificate]
    assert identity.certificate.status is CertificateStatus.PENDING_ACTIVATION
    assert [entry.action for entry in store.tables.audit] == ["CreateCertificateFromCsr"]


async def test_a_lost_commit_leaves_neither_certificate_nor_ownership(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    before = store.tables.dump()
    store.lose_commit_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await fleet.create_keys(authority, DEVICE)
    with pytest.raises(InvalidRequest):
        await fleet.create_from_csr(authority, DEVICE, "garbage", "client-1")
    assert store.tables.dump() == before


async def test_a_device_is_registered_with_its_thing_its_policy_and_an_active_certificate(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await create_template(authority)
    identity = await waiting(authority)
    done = await register(authority, identity.ownership_token)
    assert done.thing_name == "sensor-17"
    assert done.device_configuration == {"url": "https://example.com/", "serial": "17"}
    (certificate,) = store.tables.certificates
    assert done.certificate == certificate
    assert certificate.status is CertificateStatus.ACTIVE
    assert done.resource_arns["certificate"] == certificate.arn
    ((_, _, _, policy_name, target),) = store.tables.rows("policy_attachment")
    assert (done.resource_arns["policy"].rpartition("/")[2], target) == (policy_name, certificate.arn)
    ((thing_name, principal),) = store.tables.rows("thing_principal", "thing_name, principal")
    assert (thing_name, principal) == ("sensor-17", certificate.arn)
    entry = store.tables.audit[-1]
    assert (entry.action, entry.resource) == ("RegisterThing", certificate.arn)
    assert entry.detail["template"] == FLEET
    assert entry.detail["changed"] == "policy,thing,certificate,policy attachment,thing attachment"


async def test_the_same_request_again_changes_nothing(authority: RegistrationAuthority, store: MemoryStore) -> None:
    await create_template(authority)
    token = (await waiting(authority)).ownership_token
    first = await register(authority, token)
    before = store.tables.dump()
    again = await register(authority, token)
    assert again == first
    assert store.tables.dump() == before


async def test_requests_at_once_register_one_thing(authority: RegistrationAuthority, store: MemoryStore) -> None:
    await create_template(authority)
    token = (await waiting(authority)).ownership_token
    done = await asyncio.gather(*(register(authority, token) for _ in range(4)))
    assert len({repr(each) for each in done}) == 1
    assert len(store.tables.rows("thing")) == 1


async def test_a_second_device_shares_the_policy(authority: RegistrationAuthority, store: MemoryStore) -> None:
    await create_template(authority)
    for serial in ("1", "2"):
        await register(authority, (await waiting(authority)).ownership_token, {"SerialNumber": serial})
    assert len(store.tables.rows("policy")) == 1
    assert len(store.tables.rows("policy_attachment")) == 2


async def test_a_template_may_leave_the_certificate_inactive(authority: RegistrationAuthority) -> None:
    properties = {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Inactive"}
    await create_template(authority, template_body(certificate=properties))
    identity = await waiting(authority)
    done = await register(authority, identity.ownership_token, {})
    assert done.certificate is not None
    assert done.certificate.status is CertificateStatus.INACTIVE
    assert done.thing_name is None
    assert done.device_configuration == {}


async def test_a_device_does_not_activate_again_what_its_operator_deactivated(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await create_template(authority)
    identity = await waiting(authority)
    await register(authority, identity.ownership_token)
    certificate_id = identity.certificate.certificate_id
    await certificates.update_status(authority, OPERATOR, certificate_id, CertificateStatus.INACTIVE)
    await register(authority, identity.ownership_token)
    assert store.tables.certificates[0].status is CertificateStatus.INACTIVE


async def refused_with_nothing_changed(
    authority: RegistrationAuthority,
    store: MemoryStore,
    token: str,
    parameters: Mapping[str, str],
    error: type[Exception],
    match: str,
) -> None:
    before = store.tables.dump()
    with pytest.raises(error, match=match):
        await register(authority, token, parameters)
    assert store.tables.dump() == before


async def test_a_missing_parameter_is_refused_in_awss_words(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await create_template(authority)
    token = (await waiting(authority)).ownership_token
    message = "Cannot resolve reference value: SerialNumber"
    await refused_with_nothing_changed(authority, store, token, {}, InvalidParameters, message)


async def test_a_thing_of_another_device_is_refused_where_the_template_says_so(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    body = template_body(
        thing={"AttributePayload": {"serial": {"Ref": "SerialNumber"}, "line": {"Ref": "Line"}}},
        thing_overrides={"AttributePayload": "FAIL"},
        policies={"policy": {"PolicyDocument": DOCUMENT}},
        parameters=("SerialNumber", "Line"),
    )
    await create_template(authority, body)
    await register(authority, (await waiting(authority)).ownership_token, {"SerialNumber": "1", "Line": "a"})
    token = (await waiting(authority)).ownership_token
    parameters = {"SerialNumber": "1", "Line": "b"}
    await refused_with_nothing_changed(authority, store, token, parameters, UpdateConflict, "exists already")


@pytest.mark.parametrize("token", ["", "garbage"])
async def test_a_bad_token_is_refused(authority: RegistrationAuthority, store: MemoryStore, token: str) -> None:
    await create_template(authority)
    await refused_with_nothing_changed(authority, store, token, SERIAL, OwnershipTokenInvalid, "token")


async def test_a_token_whose_certificate_is_gone_is_refused(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await create_template(authority)
    identity = await waiting(authority)
    await certificates.delete(authority, OPERATOR, identity.certificate.certificate_id)
    await refused_with_nothing_changed(
        authority, store, identity.ownership_token, SERIAL, OwnershipTokenInvalid, "does not exist any more"
    )


async def test_an_ended_token_is_refused(
    authority: RegistrationAuthority, store: MemoryStore, clock: SettableClock
) -> None:
    await create_template(authority)
    token = (await waiting(authority)).ownership_token
    clock.at = NOW + timedelta(hours=1)
    await refused_with_nothing_changed(authority, store, token, SERIAL, OwnershipTokenInvalid, "expired")


async def test_a_template_must_exist_be_enabled_and_be_for_fleets(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    token = (await waiting(authority)).ownership_token
    await refused_with_nothing_changed(authority, store, token, SERIAL, ResourceNotFound, "fleet does not exist")
    await create_template(authority, enabled=False)
    await refused_with_nothing_changed(authority, store, token, SERIAL, InvalidRequest, "not enabled")
    await provisioning_templates.delete(authority, OPERATOR, FLEET)
    await create_template(authority, JITP_BODY, kind=TemplateType.JITP)
    await refused_with_nothing_changed(authority, store, token, SERIAL, InvalidRequest, "is of type JITP")


async def test_the_default_version_counts(authority: RegistrationAuthority) -> None:
    await create_template(authority)
    body = template_body(thing={"ThingName": {"Ref": "SerialNumber"}})
    await provisioning_templates.create_version(authority, OPERATOR, FLEET, body, as_default=False)
    first = await register(authority, (await waiting(authority)).ownership_token)
    await provisioning_templates.update(authority, OPERATOR, FLEET, TemplateUpdate(default_version=2))
    second = await register(authority, (await waiting(authority)).ownership_token)
    assert (first.thing_name, second.thing_name) == ("sensor-17", "17")


async def test_a_claim_uses_its_own_template_alone(authority: RegistrationAuthority, store: MemoryStore) -> None:
    other = TemplateName("other")
    await create_template(authority)
    await create_template(authority, name=other)
    device = replace(DEVICE, only_template=FLEET)
    token = (await waiting(authority, device)).ownership_token
    before = store.tables.dump()
    with pytest.raises(AccessDenied, match="for another provisioning template"):
        await register(authority, token, name=other, device=device)
    assert store.tables.dump() == before
    assert (await register(authority, token, device=device)).thing_name == "sensor-17"


async def test_a_hook_is_asked_with_awss_json_and_overrides_parameters(
    authority: RegistrationAuthority, hook: Hook
) -> None:
    await create_template(authority, hook=HOOKED)
    identity = await waiting(authority)
    hook.answer = {"allowProvisioning": True, "parameterOverrides": {"SerialNumber": "overridden"}}
    done = await register(authority, identity.ownership_token, {"SerialNumber": "17", "Undeclared": "x"})
    assert done.thing_name == "sensor-overridden"
    (question,) = hook.asked
    assert question.as_json() == {
        "claimCertificateId": CLAIM_ID,
        "certificateId": identity.certificate.certificate_id,
        "certificatePem": certificate_pem(identity.certificate.der),
        "templateArn": "arn:aws:iot:eu-west-1:123456789012:provisioningtemplate/fleet",
        "clientId": "client-1",
        "parameters": {"SerialNumber": "17", "Undeclared": "x"},
    }


async def test_a_hook_may_give_what_the_device_did_not(authority: RegistrationAuthority, hook: Hook) -> None:
    await create_template(authority, hook=HOOKED)
    hook.answer = {"allowProvisioning": True, "parameterOverrides": SERIAL}
    assert (await register(authority, (await waiting(authority)).ownership_token, {})).thing_name == "sensor-17"


@pytest.mark.parametrize(
    "answer",
    [
        {"allowProvisioning": False},
        {"allowProvisioning": "true"},
        {},
        None,
        HookFailed("secret reason"),
        TimeoutError(),
    ],
)
async def test_whatever_a_hook_does_but_allow_refuses_the_device(
    authority: RegistrationAuthority, store: MemoryStore, hook: Hook, answer: object
) -> None:
    await create_template(authority, hook=HOOKED)
    token = (await waiting(authority)).ownership_token
    hook.answer = answer
    message = "^The pre-provisioning hook did not allow the device$"
    await refused_with_nothing_changed(authority, store, token, SERIAL, AccessDenied, message)


async def test_a_hook_that_does_not_answer_is_given_up(
    authority: RegistrationAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        cancelled = False

        async def ask(self, hook: PreProvisioningHook, question: Question) -> object:
            try:
                return await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                self.cancelled = True
                raise

    monkeypatch.setattr(fleet, "HOOK_SECONDS", 0.01)
    silent = Silent()
    authority = replace(authority, hooks=silent)
    await create_template(authority, hook=HOOKED)
    token = (await waiting(authority)).ownership_token
    with pytest.raises(AccessDenied):
        await register(authority, token)
    assert silent.cancelled


async def test_a_hook_is_asked_again_when_the_request_is_repeated(authority: RegistrationAuthority, hook: Hook) -> None:
    await create_template(authority, hook=HOOKED)
    token = (await waiting(authority)).ownership_token
    await register(authority, token)
    hook.answer = {"allowProvisioning": False}
    with pytest.raises(AccessDenied):
        await register(authority, token)
    assert len(hook.asked) == 2


async def test_a_template_without_a_hook_asks_nobody(authority: RegistrationAuthority, hook: Hook) -> None:
    hook.answer = {"allowProvisioning": False}
    await create_template(authority, USUAL)
    assert (await register(authority, (await waiting(authority)).ownership_token)).thing_name == "sensor-17"
    assert not hook.asked
