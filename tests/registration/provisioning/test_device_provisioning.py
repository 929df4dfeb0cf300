"""Fleet provisioning: keys, tokens and RegisterThing as a device gets them, whichever edge it comes through."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, Hook, new_authority, shared_key_pair, with_own_ids
from tests.support.registration.fleet import (
    CLAIM_ID,
    DEVICE,
    DOCUMENT,
    FLEET,
    OPERATOR,
    USUAL,
    create_template,
    template_body,
)
from tests.support.registration.fleet import waiting_certificate as waiting
from tests.support.registration.provisioning import HOOK_ARN, JITP_BODY

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import (
    AccessDenied,
    InvalidParameters,
    InvalidRequest,
    RegistrationFailed,
    ResourceNotFound,
    ServiceUnavailable,
    Throttled,
    UpdateConflict,
)
from thingmint.core.hooks import HookBusy, HookFailed, Question
from thingmint.core.identifiers import AccessKeyPrincipalId, TemplateName
from thingmint.core.provisioning.ownership import OwnershipTokenInvalid
from thingmint.core.provisioning.stored_template import PreProvisioningHook, TemplateType, TemplateUpdate
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.records.certificates import certificates as certificate_table
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import claims, device_provisioning, hooks, provisioning_templates
from thingmint.registration.provisioning.provisioning import Provisioned

HOOKED = PreProvisioningHook(HOOK_ARN)
SERIAL = {"SerialNumber": "17"}


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def authority(store: MemoryStore, clock: SettableClock, hook: Hook) -> RegistrationAuthority:
    return with_own_ids(structs.replace(new_authority(store), clock=clock, hooks=hook))


async def register(
    authority: RegistrationAuthority,
    token: str,
    parameters: Mapping[str, str] = SERIAL,
    *,
    name: TemplateName = FLEET,
    device: device_provisioning.FleetDevice = DEVICE,
) -> Provisioned:
    return await device_provisioning.register_thing(authority, device, name, token, parameters, "client-1")


async def test_keys_come_with_a_certificate_that_waits_and_a_token(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    identity, key_pair = await device_provisioning.create_keys(authority, DEVICE)
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
        await device_provisioning.create_keys(authority, DEVICE)
    with pytest.raises(InvalidRequest):
        await device_provisioning.create_from_csr(authority, DEVICE, "garbage", "client-1")
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


async def claimed(authority: RegistrationAuthority) -> device_provisioning.FleetDevice:
    """Return a device with a claim on the template of the fleet."""
    made = await claims.create_claim(authority, OPERATOR, FLEET)
    claim = await claims.recognise_claim(authority, made.certificate_id)
    assert claim is not None
    return structs.replace(DEVICE, principal_id=made.certificate_id, claim=claim)


async def test_a_claim_uses_its_own_template_alone(authority: RegistrationAuthority, store: MemoryStore) -> None:
    other = TemplateName("other")
    await create_template(authority)
    await create_template(authority, name=other)
    device = await claimed(authority)
    token = (await waiting(authority, device)).ownership_token
    before = store.tables.dump()
    with pytest.raises(AccessDenied, match="for another provisioning template"):
        await register(authority, token, name=other, device=device)
    assert store.tables.dump() == before
    assert (await register(authority, token, device=device)).thing_name == "sensor-17"


@pytest.mark.parametrize("is_created_again", [False, True])
async def test_a_claim_whose_template_is_deleted_gets_nothing_whatever_has_its_name_now(
    authority: RegistrationAuthority, store: MemoryStore, *, is_created_again: bool
) -> None:
    await create_template(authority)
    device = await claimed(authority)
    token = (await waiting(authority, device)).ownership_token
    await provisioning_templates.delete(authority, OPERATOR, FLEET)
    if is_created_again:
        await create_template(authority)
    before = store.tables.dump()
    for attempt in (
        device_provisioning.create_keys(authority, device),
        device_provisioning.create_from_csr(authority, device, csr_pem("p-256"), "client-1"),
        register(authority, token, device=device),
    ):
        with pytest.raises(AccessDenied, match="cannot be used any more"):
            await attempt
    assert store.tables.dump() == before


async def test_a_claim_that_has_ended_gets_nothing(
    authority: RegistrationAuthority, store: MemoryStore, clock: SettableClock
) -> None:
    await create_template(authority)
    device = await claimed(authority)
    token = (await waiting(authority, device)).ownership_token
    clock.at = NOW + timedelta(minutes=6)
    before = store.tables.dump()
    for attempt in (device_provisioning.create_keys(authority, device), register(authority, token, device=device)):
        with pytest.raises(AccessDenied, match="cannot be used any more"):
            await attempt
    assert store.tables.dump() == before


async def test_a_template_that_is_deleted_while_keys_are_made_leaves_no_certificate(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await create_template(authority)
    device = await claimed(authority)

    class Meanwhile:
        async def take(self) -> KeyPair:
            await provisioning_templates.delete(authority, OPERATOR, FLEET)
            return shared_key_pair()

    with pytest.raises(AccessDenied, match="cannot be used any more"):
        await device_provisioning.create_keys(structs.replace(authority, key_source=Meanwhile()), device)
    assert store.tables.certificates == []


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ("delete", ResourceNotFound, "does not exist"),
        ("replace", ResourceNotFound, "does not exist any more"),
        ("disable", InvalidRequest, "is not enabled"),
    ],
)
async def test_a_template_that_is_taken_away_while_its_hook_thinks_registers_nobody(
    authority: RegistrationAuthority, store: MemoryStore, change: str, error: type[Exception], match: str
) -> None:
    class Slow:
        async def ask(self, hook: PreProvisioningHook, question: Question) -> object:
            if change == "disable":
                await provisioning_templates.update(authority, OPERATOR, FLEET, TemplateUpdate(enabled=False))
            else:
                await provisioning_templates.delete(authority, OPERATOR, FLEET)
            if change == "replace":
                await create_template(authority)
            return {"allowProvisioning": True}

    await create_template(authority, hook=HOOKED)
    token = (await waiting(authority)).ownership_token
    with pytest.raises(error, match=match):
        await register(structs.replace(authority, hooks=Slow()), token)
    assert store.tables.rows("thing") == []
    assert store.tables.certificates[0].status is CertificateStatus.PENDING_ACTIVATION


async def test_a_token_that_was_used_serves_the_same_request_only(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    other = TemplateName("other")
    await create_template(authority)
    await create_template(authority, name=other)
    token = (await waiting(authority)).ownership_token
    await register(authority, token)
    used = "has been used for another request"
    for parameters in ({"SerialNumber": "18"}, {}, {**SERIAL, "More": "x"}):
        await refused_with_nothing_changed(authority, store, token, parameters, OwnershipTokenInvalid, used)
    with pytest.raises(OwnershipTokenInvalid, match=used):
        await register(authority, token, name=other)
    assert len(store.tables.rows("thing")) == 1


async def test_a_token_does_not_serve_a_new_template_of_the_same_name(authority: RegistrationAuthority) -> None:
    await create_template(authority)
    token = (await waiting(authority)).ownership_token
    await register(authority, token)
    await provisioning_templates.delete(authority, OPERATOR, FLEET)
    await create_template(authority)
    with pytest.raises(OwnershipTokenInvalid, match="another request"):
        await register(authority, token)


async def test_a_request_that_failed_does_not_use_up_the_token(authority: RegistrationAuthority) -> None:
    await create_template(authority)
    token = (await waiting(authority)).ownership_token
    with pytest.raises(InvalidParameters):
        await register(authority, token, {"Serial": "17"})
    with pytest.raises(InvalidRequest):
        await register(authority, token, {"SerialNumber": "no name"})
    assert (await register(authority, token)).thing_name == "sensor-17"


async def test_the_same_request_has_the_same_answer_whatever_hook_and_default_version_say_now(
    authority: RegistrationAuthority, store: MemoryStore, hook: Hook
) -> None:
    await create_template(authority, hook=HOOKED)
    token = (await waiting(authority)).ownership_token
    hook.answer = {"allowProvisioning": True, "parameterOverrides": {"SerialNumber": "first"}}
    first = await register(authority, token)
    hook.answer = {"allowProvisioning": True, "parameterOverrides": {"SerialNumber": "second"}}
    body = template_body(thing={"ThingName": {"Ref": "SerialNumber"}})
    await provisioning_templates.create_version(authority, OPERATOR, FLEET, body, as_default=True)
    before = store.tables.dump()
    assert await register(authority, token) == first
    assert store.tables.dump() == before
    assert "example.com" not in repr(store.tables.rows("certificate_ownership", "sealed_answer"))


async def test_requests_at_once_with_one_token_and_other_parameters_register_one_thing(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await create_template(authority)
    token = (await waiting(authority)).ownership_token
    serials = [{"SerialNumber": str(number)} for number in range(4)]
    done = await asyncio.gather(*(register(authority, token, each) for each in serials), return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["OwnershipTokenInvalid"] * 3 + ["Provisioned"]
    assert len(store.tables.rows("thing")) == 1


@pytest.mark.parametrize("is_same", [False, True])
async def test_a_request_that_another_one_overtook_has_its_answer_or_is_refused(
    authority: RegistrationAuthority, store: MemoryStore, *, is_same: bool
) -> None:
    class Slow:
        """Asked for the first request, it has the second one answered."""

        first: Provisioned | None = None

        async def ask(self, hook: PreProvisioningHook, question: Question) -> object:
            self.first = await register(authority, token, SERIAL if is_same else {"SerialNumber": "other"})
            return {"allowProvisioning": True}

    await create_template(authority, hook=HOOKED)
    token = (await waiting(authority)).ownership_token
    slow = Slow()
    if is_same:
        assert await register(structs.replace(authority, hooks=slow), token) == slow.first
    else:
        with pytest.raises(OwnershipTokenInvalid, match="another request"):
            await register(structs.replace(authority, hooks=slow), token)
    assert len(store.tables.rows("thing")) == 1


async def test_a_revoked_device_is_not_answered_again(authority: RegistrationAuthority, store: MemoryStore) -> None:
    await create_template(authority)
    identity = await waiting(authority)
    await register(authority, identity.ownership_token)
    await certificates.update_status(
        authority, OPERATOR, identity.certificate.certificate_id, CertificateStatus.REVOKED
    )
    await refused_with_nothing_changed(
        authority, store, identity.ownership_token, SERIAL, RegistrationFailed, "is REVOKED"
    )


async def test_a_token_that_is_noted_nowhere_is_refused(authority: RegistrationAuthority, store: MemoryStore) -> None:
    await create_template(authority)
    token = (await waiting(authority)).ownership_token
    store.execute("DELETE FROM certificate_ownership")
    await refused_with_nothing_changed(authority, store, token, SERIAL, OwnershipTokenInvalid, "has expired")


async def test_a_certificate_that_was_deleted_and_registered_again_is_not_the_tokens(
    authority: RegistrationAuthority, store: MemoryStore, clock: SettableClock
) -> None:
    await create_template(authority)
    identity = await waiting(authority)
    later = replace(identity.certificate, created_at=NOW + timedelta(minutes=1))
    await certificates.delete(authority, OPERATOR, identity.certificate.certificate_id)
    await authority.store.write(lambda: certificate_table.insert_certificate(later))
    clock.at = NOW + timedelta(minutes=2)
    await refused_with_nothing_changed(
        authority, store, identity.ownership_token, SERIAL, OwnershipTokenInvalid, "does not exist any more"
    )


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


async def test_a_busy_hook_lets_the_device_come_again(
    authority: RegistrationAuthority, store: MemoryStore, hook: Hook
) -> None:
    await create_template(authority, hook=HOOKED)
    token = (await waiting(authority)).ownership_token
    hook.answer = HookBusy("secret reason")
    await refused_with_nothing_changed(authority, store, token, SERIAL, Throttled, "^Rate exceeded$")
    hook.answer = {"allowProvisioning": True}
    assert (await register(authority, token)).thing_name == "sensor-17"


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

    monkeypatch.setattr(hooks, "HOOK_SECONDS", 0.01)
    silent = Silent()
    authority = structs.replace(authority, hooks=silent)
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


async def test_a_hook_is_told_of_no_claim_if_the_caller_has_an_access_key(
    authority: RegistrationAuthority, hook: Hook
) -> None:
    await create_template(authority, hook=HOOKED)
    hook.answer = {"allowProvisioning": True}
    page = structs.replace(DEVICE, principal_id=AccessKeyPrincipalId("AIDAEXAMPLE:AKIAEXAMPLE"))
    await register(authority, (await waiting(authority)).ownership_token, device=page)
    (question,) = hook.asked
    assert question.as_json()["claimCertificateId"] == ""
