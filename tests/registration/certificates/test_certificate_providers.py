"""Certificate providers: their life, and what a device gets that one signs for."""

import asyncio

import pytest
from msgspec.structs import replace
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import provided_pem_for
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import Hook, caller_with, new_authority
from tests.support.registration.fleet import CLAIM_ID, DEVICE
from tests.support.registration.provisioning import HOOK_ARN
from tests.support.registration.registry import turned

from thingmint.core.certificates.certificate import CertificateMode, CertificateStatus
from thingmint.core.certificates.certificate_provider import CertificateProvider, ProvidedOperation
from thingmint.core.errors import (
    DuplicateCertificate,
    InvalidRequest,
    LimitExceeded,
    ResourceExists,
    ResourceNotFound,
    ServiceUnavailable,
    Throttled,
)
from thingmint.core.hooks import HookBusy, HookFailed, Question
from thingmint.core.identifiers import AccountId, CertificateProviderName
from thingmint.core.provisioning.stored_template import PreProvisioningHook
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.registration.certificates import certificate_providers
from thingmint.registration.kernel import tags
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import device_provisioning

CALLER = caller_with()
NAME = CertificateProviderName("factory")
OTHER = CertificateProviderName("other")
TOKEN = "0123456789abcdef0123456789abcdef0123"
FROM_CSR = ProvidedOperation.CREATE_CERTIFICATE_FROM_CSR
CSR = csr_pem("p-256")


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def authority(store: MemoryStore, hook: Hook) -> RegistrationAuthority:
    return replace(new_authority(store), hooks=hook)


async def created(
    authority: RegistrationAuthority,
    name: CertificateProviderName = NAME,
    *,
    function: str = HOOK_ARN,
    token: str | None = None,
) -> CertificateProvider:
    return await certificate_providers.create(authority, CALLER, name, function, FROM_CSR, token, {"line": "7"})


async def test_a_provider_lives_its_life(authority: RegistrationAuthority, store: MemoryStore) -> None:
    first = await created(authority)
    assert await certificate_providers.describe(authority, CALLER, NAME) == first
    assert await tags.list_tags(authority, CALLER, first.arn) == {"line": "7"}
    pages = await turned(1, lambda request: certificate_providers.list_providers(authority, CALLER, request))
    assert [[entry.name for entry in page] for page in pages] == [[NAME]]

    changed = await certificate_providers.update(authority, CALLER, NAME, HOOK_ARN + "2", None)
    assert await certificate_providers.describe(authority, CALLER, NAME) == changed
    assert await certificate_providers.update(authority, CALLER, NAME, None, FROM_CSR) == changed

    await certificate_providers.delete(authority, CALLER, NAME)
    assert not store.tables.rows("certificate_provider")
    assert not store.tables.rows("tag")
    assert [(entry.action, entry.resource) for entry in store.tables.audit] == [
        ("CreateCertificateProvider", first.arn),
        ("UpdateCertificateProvider", first.arn),
        ("DeleteCertificateProvider", first.arn),
    ]


async def test_the_same_token_in_the_same_words_makes_one_provider(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    first = await created(authority, token=TOKEN)
    before = store.tables.dump()
    assert await created(authority, token=TOKEN) == first
    with pytest.raises(ResourceExists):
        await created(authority)
    with pytest.raises(ResourceExists):
        await created(authority, token=TOKEN, function=HOOK_ARN + "2")
    assert store.tables.dump() == before


async def test_an_operation_has_one_provider_in_an_account(authority: RegistrationAuthority) -> None:
    await created(authority)
    with pytest.raises(LimitExceeded, match="CreateCertificateFromCsr already"):
        await created(authority, OTHER)
    other = caller_with(account=AccountId("210987654321"))
    await certificate_providers.create(authority, other, OTHER, HOOK_ARN, FROM_CSR, None, {})
    await certificate_providers.delete(authority, CALLER, NAME)
    await created(authority, OTHER)


async def test_what_does_not_exist_is_not_found(authority: RegistrationAuthority) -> None:
    for call in (
        certificate_providers.describe(authority, CALLER, NAME),
        certificate_providers.update(authority, CALLER, NAME, None, None),
        certificate_providers.delete(authority, CALLER, NAME),
    ):
        with pytest.raises(ResourceNotFound, match="factory not found"):
            await call


async def test_a_device_gets_what_the_provider_signed(
    authority: RegistrationAuthority, store: MemoryStore, hook: Hook
) -> None:
    provider = await created(authority)
    pem = provided_pem_for("p-256")
    hook.answer = {"certificatePem": pem}

    identity = await device_provisioning.create_from_csr(authority, DEVICE, CSR, "client-1")

    (certificate,) = store.tables.certificates
    assert identity.certificate == certificate
    assert certificate_pem(certificate.der) == pem
    assert (certificate.status, certificate.mode, certificate.issuer_id) == (
        CertificateStatus.PENDING_ACTIVATION,
        CertificateMode.DEFAULT,
        None,
    )
    assert [question.as_json() for question in hook.asked] == [
        {"certificateSigningRequest": CSR, "principalId": CLAIM_ID, "clientId": "client-1"}
    ]
    assert [question.asked_for for question in hook.asked] == [provider.arn]
    assert store.tables.audit[-1].action == "CreateCertificateFromCsr"
    assert [row[0] for row in store.tables.rows("certificate_ownership")] == [certificate.certificate_id]


async def test_keys_and_other_accounts_do_not_ask_the_provider(authority: RegistrationAuthority, hook: Hook) -> None:
    await created(authority)
    await device_provisioning.create_keys(authority, DEVICE)
    other = device_provisioning.FleetDevice(caller_with(account=AccountId("210987654321")), CLAIM_ID)
    assert (
        await device_provisioning.create_from_csr(authority, other, CSR, "client-1")
    ).certificate.issuer_id is not None
    assert not hook.asked


@pytest.mark.parametrize(
    "answer",
    [
        HookFailed("secret reason"),
        TimeoutError(),
        None,
        {},
        {"certificatePem": "no certificate"},
        {"certificatePem": provided_pem_for("p-384")},
    ],
)
async def test_what_the_provider_does_not_provide_is_not_issued_by_anybody(
    authority: RegistrationAuthority, store: MemoryStore, hook: Hook, answer: object
) -> None:
    await created(authority)
    before, hook.answer = store.tables.dump(), answer
    with pytest.raises(ServiceUnavailable, match=r"did not provide a certificate$"):
        await device_provisioning.create_from_csr(authority, DEVICE, CSR, "client-1")
    assert store.tables.dump() == before


async def test_a_request_that_is_not_accepted_is_not_shown_to_the_provider(
    authority: RegistrationAuthority, hook: Hook
) -> None:
    await created(authority)
    with pytest.raises(InvalidRequest):
        await device_provisioning.create_from_csr(authority, DEVICE, "garbage", "client-1")
    assert not hook.asked


async def test_the_same_certificate_twice_is_refused(
    authority: RegistrationAuthority, store: MemoryStore, hook: Hook
) -> None:
    await created(authority)
    hook.answer = {"certificatePem": provided_pem_for("p-256")}
    await device_provisioning.create_from_csr(authority, DEVICE, CSR, "client-1")
    before = store.tables.dump()
    with pytest.raises(DuplicateCertificate):
        await device_provisioning.create_from_csr(authority, DEVICE, CSR, "client-1")
    assert store.tables.dump() == before


async def test_a_busy_provider_lets_the_device_come_again(authority: RegistrationAuthority, hook: Hook) -> None:
    await created(authority)
    hook.answer = HookBusy("secret reason")
    with pytest.raises(Throttled, match=r"^Rate exceeded$"):
        await device_provisioning.create_from_csr(authority, DEVICE, CSR, "client-1")


async def test_a_provider_that_does_not_answer_is_given_up(
    authority: RegistrationAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Silent:
        async def ask(self, hook: PreProvisioningHook, question: Question) -> object:
            return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(certificate_providers, "HOOK_SECONDS", 0.01)
    await created(authority)
    with pytest.raises(ServiceUnavailable):
        await device_provisioning.create_from_csr(replace(authority, hooks=Silent()), DEVICE, CSR, "client-1")
