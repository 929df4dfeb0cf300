"""Transfers and certificate providers bring no other encoding of a certificate that is there, nor a revoked one."""

import pytest
from msgspec.structs import replace
from tests.support.certificates.encodings import negated
from tests.support.certificates.entrances import (
    ACTIVE,
    CALLER,
    CONNECTION,
    INACTIVE,
    OTHER,
    REVOKED,
    open_ca,
    revoked_and_deleted,
)
from tests.support.certificates.signing_requests import csr_pem
from tests.support.certificates.user_ca import der_of, new_ca, pem_of, provided_pem_for
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import sample_access_key
from tests.support.registration.authority import Hook
from tests.support.registration.fleet import DEVICE
from tests.support.registration.provisioning import HOOK_ARN

from thingmint.core.certificates.certificate import Certificate, CertificateStatus
from thingmint.core.certificates.certificate_provider import ProvidedOperation
from thingmint.core.errors import (
    CertificateInvalid,
    DuplicateCertificate,
    InvalidRequest,
    ResourceExists,
    ServiceUnavailable,
)
from thingmint.core.identifiers import CertificateProviderName
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.records.access import access_keys as access_key_table
from thingmint.registration.certificates import certificate_providers, certificates, transfers
from thingmint.registration.certificates.auto_registration import auto_register
from thingmint.registration.certificates.registered_certificates import register, register_without_ca
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import device_provisioning


async def transferred(authority: RegistrationAuthority, certificate: Certificate) -> None:
    await transfers.begin(authority, CALLER, certificate.certificate_id, OTHER.account, None)
    await transfers.accept(authority, OTHER, certificate.certificate_id, active=True)


@pytest.fixture
async def with_keys(authority: RegistrationAuthority) -> RegistrationAuthority:
    """An authority on whose registry both accounts have an access key, so that they can accept transfers."""
    for number, caller in enumerate((CALLER, OTHER)):
        key = sample_access_key(number, account=caller.account)
        await authority.store.write(lambda key=key: access_key_table.insert_access_key(key))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    return authority


@pytest.mark.parametrize("is_own", [True, False])
async def test_an_account_accepts_no_other_encoding_of_what_it_has(
    with_keys: RegistrationAuthority, store: MemoryStore, *, is_own: bool
) -> None:
    if is_own:
        offered = (await certificates.issue_with_new_key(with_keys, CALLER, active=False)).certificate
    else:
        offered = await register_without_ca(with_keys, CALLER, new_ca().issue_pem(), INACTIVE)
    await register_without_ca(with_keys, OTHER, certificate_pem(negated(offered.der)), REVOKED)
    with pytest.raises(InvalidRequest, match="has this certificate already"):
        await transferred(with_keys, offered)
    assert len(store.tables.certificates) == 2


async def test_an_account_accepts_nothing_that_an_earlier_version_registered_there_twice(
    with_keys: RegistrationAuthority, store: MemoryStore
) -> None:
    pem = new_ca().issue_pem()
    first, offered = [await register_without_ca(with_keys, caller, pem, INACTIVE) for caller in (OTHER, CALLER)]
    store.execute(
        "UPDATE certificate SET signed_digest = NULL, other_encoding_of = $1 WHERE account = $2",
        first.certificate_id,
        OTHER.account,
    )
    with pytest.raises(InvalidRequest, match="has this certificate already"):
        await transferred(with_keys, offered)


async def test_another_encoding_that_an_earlier_version_registered_is_not_transferred(
    with_keys: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    first, second = [await register_without_ca(with_keys, CALLER, ca.issue_pem(), INACTIVE) for _ in range(2)]
    doubled = "UPDATE certificate SET signed_digest = NULL, other_encoding_of = $1 WHERE certificate_id = $2"
    refused = f"{second.certificate_id} is another encoding of {first.certificate_id} and cannot be transferred"
    await transfers.begin(with_keys, CALLER, second.certificate_id, OTHER.account, None)
    store.execute(doubled, first.certificate_id, second.certificate_id)
    # It was offered before the database was migrated.
    with pytest.raises(InvalidRequest, match=refused):
        await transfers.accept(with_keys, OTHER, second.certificate_id, active=True)
    await transfers.cancel(with_keys, CALLER, second.certificate_id)
    with pytest.raises(InvalidRequest, match=refused):
        await transfers.begin(with_keys, CALLER, second.certificate_id, OTHER.account, None)
    await transferred(with_keys, first)


async def test_what_was_transferred_is_known_by_its_new_account(with_keys: RegistrationAuthority) -> None:
    issued = new_ca().issue()
    await transferred(with_keys, await register_without_ca(with_keys, CALLER, pem_of(issued), INACTIVE))
    other = certificate_pem(negated(der_of(issued)))
    with pytest.raises(ResourceExists):
        await register_without_ca(with_keys, OTHER, other, ACTIVE)
    await register_without_ca(with_keys, CALLER, other, ACTIVE)


async def test_an_account_accepts_what_it_has_revoked_and_deleted_before(
    with_keys: RegistrationAuthority, store: MemoryStore
) -> None:
    pem = new_ca().issue_pem()
    revoked = await register_without_ca(with_keys, OTHER, pem, REVOKED)
    await certificates.delete(with_keys, OTHER, revoked.certificate_id)
    await transferred(with_keys, await register_without_ca(with_keys, CALLER, pem, INACTIVE))
    assert not store.tables.rows("revoked_certificate")


@pytest.fixture
async def provider(authority: RegistrationAuthority) -> Hook:
    """The certificate provider of the account."""
    hook = Hook()
    await certificate_providers.create(
        authority,
        CALLER,
        CertificateProviderName("factory"),
        HOOK_ARN,
        ProvidedOperation.CREATE_CERTIFICATE_FROM_CSR,
        None,
        {},
    )
    return hook


async def test_a_provider_provides_no_other_encoding_and_nothing_that_was_revoked(
    authority: RegistrationAuthority, store: MemoryStore, provider: Hook
) -> None:
    asking, pem = replace(authority, hooks=provider), provided_pem_for("p-256")
    provider.answer = {"certificatePem": pem}
    given = await device_provisioning.create_from_csr(asking, DEVICE, csr_pem("p-256"), "client-1")
    der = given.certificate.der
    before = store.tables.dump()
    for encoding in (der, negated(der)):
        provider.answer = {"certificatePem": certificate_pem(encoding)}
        with pytest.raises(DuplicateCertificate):
            await device_provisioning.create_from_csr(asking, DEVICE, csr_pem("p-256"), "client-1")
    assert store.tables.dump() == before
    await revoked_and_deleted(authority, given.certificate)
    before = store.tables.dump()
    for encoding in (der, negated(der)):
        provider.answer = {"certificatePem": certificate_pem(encoding)}
        with pytest.raises(ServiceUnavailable):
            await device_provisioning.create_from_csr(asking, DEVICE, csr_pem("p-256"), "client-1")
    assert store.tables.dump() == before


async def test_a_provider_provides_no_other_encoding_of_what_the_service_issued(
    authority: RegistrationAuthority, store: MemoryStore, provider: Hook
) -> None:
    issued = await certificates.issue_from_csr(authority, CALLER, csr_pem("p-256"), active=True)
    provider.answer = {"certificatePem": certificate_pem(negated(issued.der))}
    with pytest.raises(DuplicateCertificate, match=f"another encoding of {issued.certificate_id}"):
        await device_provisioning.create_from_csr(
            replace(authority, hooks=provider), DEVICE, csr_pem("p-256"), "client-1"
        )
    assert len(store.tables.certificates) == 1


@pytest.mark.parametrize("status", [ACTIVE, REVOKED])
async def test_what_was_transferred_does_not_come_back_to_its_first_account_by_itself(
    with_keys: RegistrationAuthority, status: CertificateStatus
) -> None:
    ca = new_ca()
    for caller in (CALLER, OTHER):
        await open_ca(with_keys, ca, caller, default=False)
    issued = ca.issue()
    certificate = await register(with_keys, CALLER, pem_of(issued), None, INACTIVE)
    await transferred(with_keys, certificate)
    if status is REVOKED:
        await certificates.update_status(with_keys, OTHER, certificate.certificate_id, REVOKED)
    for der in (der_of(issued), negated(der_of(issued))):
        with pytest.raises(CertificateInvalid, match="was transferred to another account"):
            await auto_register(with_keys, replace(CONNECTION, account=CALLER.account), der)
