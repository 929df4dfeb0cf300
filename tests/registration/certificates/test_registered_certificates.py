"""Device certificates that somebody else issued: what they are registered with, and when they are not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec import structs
from tests.support.certificates.user_ca import UserCA, der_of, new_ca, pem_of
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, caller_with
from tests.support.registration.registry import turned

from thingmint.core.caller import Caller
from thingmint.core.certificates.ca_certificate import CACertificate, CACertificateStatus, CACertificateUpdate
from thingmint.core.certificates.certificate import Certificate, CertificateMode, CertificateStatus
from thingmint.core.errors import (
    CertificateConflict,
    CertificateInvalid,
    CertificateStateRefused,
    InvalidRequest,
    ResourceExists,
)
from thingmint.core.identifiers import AccountId, CertificateId
from thingmint.core.paging import PageRequest
from thingmint.records.certificates import certificates as certificate_table
from thingmint.registration.certificates import ca_certificates, certificates, registration_codes
from thingmint.registration.certificates.ca_certificates import CARegistration
from thingmint.registration.certificates.registered_certificates import register, register_without_ca
from thingmint.registration.kernel.authority import RegistrationAuthority

CALLER = caller_with()
STRANGER = caller_with(account=AccountId("222222222222"))
INACTIVE, ACTIVE = CertificateStatus.INACTIVE, CertificateStatus.ACTIVE


async def registered_ca(
    authority: RegistrationAuthority, ca: UserCA, caller: Caller = CALLER, *, default: bool = False, active: bool = True
) -> CACertificate:
    request = CARegistration(ca.pem, None, CertificateMode.SNI_ONLY, active)
    if default:
        code = await registration_codes.registration_code(authority, caller)
        request = CARegistration(ca.pem, ca.issue_pem(code), active=active)
    return await ca_certificates.register(authority, caller, request)


@pytest.mark.parametrize("default", [True, False])
async def test_a_certificate_is_registered_in_the_mode_of_its_ca(
    authority: RegistrationAuthority, store: MemoryStore, *, default: bool
) -> None:
    ca = new_ca()
    ca_certificate = await registered_ca(authority, ca, default=default)
    issued = ca.issue()
    certificate = await register(authority, CALLER, pem_of(issued), None, ACTIVE)
    assert store.tables.certificates == [certificate]
    assert (certificate.der, certificate.serial_number) == (der_of(issued), issued.serial_number)
    assert (certificate.status, certificate.mode) == (ACTIVE, ca_certificate.mode)
    assert (certificate.issuer_id, certificate.ca_certificate_id) == (None, ca_certificate.certificate_id)
    entry = store.tables.audit[-1]
    assert (entry.action, entry.resource) == ("RegisterCertificate", certificate.arn)
    assert entry.detail == {
        "status": "ACTIVE",
        "mode": str(ca_certificate.mode),
        "serial_number": f"{issued.serial_number:x}",
        "ca_certificate_id": ca_certificate.certificate_id,
    }


@pytest.mark.parametrize("status", [ACTIVE, INACTIVE, CertificateStatus.REVOKED])
async def test_a_certificate_is_registered_without_a_ca_in_any_status_of_callers(
    authority: RegistrationAuthority, store: MemoryStore, status: CertificateStatus
) -> None:
    certificate = await register_without_ca(authority, CALLER, new_ca().issue_pem(), status)
    assert store.tables.certificates == [certificate]
    assert (certificate.status, certificate.mode, certificate.ca_certificate_id) == (
        status,
        CertificateMode.SNI_ONLY,
        None,
    )
    assert store.tables.audit[-1].action == "RegisterCertificateWithoutCA"


async def test_a_self_signed_certificate_needs_no_ca(authority: RegistrationAuthority) -> None:
    assert (await register_without_ca(authority, CALLER, new_ca().pem, ACTIVE)).status is ACTIVE


@pytest.mark.parametrize("status", sorted(set(CertificateStatus) - {ACTIVE, INACTIVE, CertificateStatus.REVOKED}))
async def test_the_statuses_of_the_service_cannot_be_asked_for(
    authority: RegistrationAuthority, status: CertificateStatus
) -> None:
    with pytest.raises(InvalidRequest, match=str(status)):
        await register(authority, CALLER, new_ca().issue_pem(), None, status)
    with pytest.raises(InvalidRequest, match=str(status)):
        await register_without_ca(authority, CALLER, new_ca().issue_pem(), status)


async def test_the_ca_must_be_registered_in_the_account(authority: RegistrationAuthority, store: MemoryStore) -> None:
    ca = new_ca()
    await registered_ca(authority, ca, STRANGER)
    for given in (None, ca.pem):
        with pytest.raises(CertificateInvalid, match="is not registered in the account"):
            await register(authority, CALLER, ca.issue_pem(), given, INACTIVE)
    assert not store.tables.certificates


async def test_the_ca_must_be_active(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    await registered_ca(authority, ca, active=False)
    with pytest.raises(CertificateStateRefused, match="not ACTIVE"):
        await register(authority, CALLER, ca.issue_pem(), None, INACTIVE)


async def test_the_ca_must_have_signed_the_certificate(authority: RegistrationAuthority) -> None:
    ca, impostor = new_ca(), new_ca()
    await registered_ca(authority, ca)
    with pytest.raises(CertificateInvalid, match="is not signed by the CA certificate"):
        await register(authority, CALLER, impostor.issue_pem(), None, INACTIVE)


async def test_of_several_cas_with_one_subject_the_right_one_must_be_given(authority: RegistrationAuthority) -> None:
    cas = [new_ca() for _ in range(3)]
    registered = [await registered_ca(authority, ca) for ca in cas]
    with pytest.raises(CertificateConflict):
        await register(authority, CALLER, cas[1].issue_pem(), None, INACTIVE)
    with pytest.raises(CertificateInvalid, match="is not signed"):
        await register(authority, CALLER, cas[1].issue_pem(), cas[2].pem, INACTIVE)
    certificate = await register(authority, CALLER, cas[1].issue_pem(), cas[1].pem, INACTIVE)
    assert certificate.ca_certificate_id == registered[1].certificate_id


async def test_a_ca_with_another_subject_than_the_issuer_is_not_the_one(authority: RegistrationAuthority) -> None:
    ca, other = new_ca(), new_ca("Other CA")
    for each in (ca, other):
        await registered_ca(authority, each)
    with pytest.raises(CertificateInvalid, match="is not registered"):
        await register(authority, CALLER, ca.issue_pem(), other.pem, INACTIVE)


@pytest.mark.parametrize("days", [-30, 30])
async def test_a_certificate_must_be_valid_now(authority: RegistrationAuthority, days: int) -> None:
    ca, at = new_ca(), NOW + timedelta(days=days)
    await registered_ca(authority, ca)
    for call in (
        register(authority, CALLER, ca.issue_pem(at=at), None, INACTIVE),
        register_without_ca(authority, CALLER, ca.issue_pem(at=at), INACTIVE),
    ):
        with pytest.raises(CertificateInvalid, match="The certificate is valid from"):
            await call


class LaterClock:
    def now(self) -> object:
        return NOW + timedelta(days=11)


async def test_a_ca_that_has_ended_registers_nothing_more(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    await registered_ca(authority, ca)
    later = structs.replace(authority, clock=LaterClock())
    with pytest.raises(CertificateInvalid, match="The CA certificate is valid from"):
        await register(later, CALLER, ca.issue_pem(at=NOW + timedelta(days=11)), None, INACTIVE)


async def test_an_account_registers_a_certificate_once(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    await registered_ca(authority, ca)
    pem = ca.issue_pem()
    certificate = await register(authority, CALLER, pem, None, INACTIVE)
    calls: list[Callable[[], object]] = [
        lambda: register(authority, CALLER, pem, None, ACTIVE),
        lambda: register_without_ca(authority, CALLER, pem, ACTIVE),
    ]
    for call in calls:
        with pytest.raises(ResourceExists, match="already provisioned or registered") as refusal:
            await call()  # type: ignore[misc]  # a coroutine
        assert refusal.value.resource_id == certificate.certificate_id
        assert refusal.value.resource_arn == certificate.arn
    assert await certificates.describe(authority, CALLER, certificate.certificate_id) == certificate


async def test_two_accounts_register_the_same_certificate_unless_in_default_mode(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    shared, own = new_ca(), new_ca("Own CA")
    for caller in (CALLER, STRANGER):
        await registered_ca(authority, shared, caller)
    pem = shared.issue_pem()
    assert await register(authority, CALLER, pem, None, INACTIVE) != await register(
        authority, STRANGER, pem, None, INACTIVE
    )
    first = await registered_ca(authority, own, default=True)
    pem = own.issue_pem()
    await register(authority, CALLER, pem, None, INACTIVE)
    await ca_certificates.update(
        authority, CALLER, first.certificate_id, CACertificateUpdate(CACertificateStatus.INACTIVE)
    )
    await ca_certificates.delete(authority, CALLER, first.certificate_id)
    await registered_ca(authority, own, STRANGER, default=True)
    with pytest.raises(ResourceExists) as refusal:
        await register(authority, STRANGER, pem, None, INACTIVE)
    assert refusal.value.resource_arn is None
    await register_without_ca(authority, STRANGER, pem, INACTIVE)
    assert len(store.tables.certificates) == 4


async def test_a_careless_ca_may_repeat_its_serial_numbers(authority: RegistrationAuthority) -> None:
    certificate = await register_without_ca(authority, CALLER, new_ca().issue_pem(), INACTIVE)
    other = replace(certificate, certificate_id=CertificateId("ef" * 32), signed_digest="ef" * 32)

    await authority.store.write(lambda: certificate_table.insert_certificate(other))
    assert await certificates.describe(authority, CALLER, other.certificate_id) == other


async def test_what_was_registered_outlives_its_ca(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    ca_certificate = await registered_ca(authority, ca)
    certificate = await register(authority, CALLER, ca.issue_pem(), None, ACTIVE)
    await ca_certificates.update(
        authority, CALLER, ca_certificate.certificate_id, CACertificateUpdate(CACertificateStatus.INACTIVE)
    )
    await ca_certificates.delete(authority, CALLER, ca_certificate.certificate_id)
    assert await certificates.describe(authority, CALLER, certificate.certificate_id) == certificate


async def test_a_ca_that_vanishes_meanwhile_registers_nothing(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    await registered_ca(authority, ca)
    real, gone = store.read, iter([True])

    async def read_then_delete(program: object) -> object:
        found = await real(program)  # type: ignore[arg-type, var-annotated]  # a program
        if next(gone, False):
            store.execute("DELETE FROM ca_certificate")
        return found

    store.read = read_then_delete  # type: ignore[assignment, method-assign]  # as another request would
    with pytest.raises(CertificateInvalid, match="is not registered"):
        await register(authority, CALLER, ca.issue_pem(), None, INACTIVE)
    assert not store.tables.certificates


async def test_the_list_of_a_ca_holds_what_was_registered_with_it(authority: RegistrationAuthority) -> None:
    ca, other = new_ca(), new_ca("Other CA")
    ca_certificate = await registered_ca(authority, ca)
    await registered_ca(authority, other)
    expected: list[Certificate] = []
    for number in range(3):
        expected.append(await register(authority, CALLER, ca.issue_pem(f"{number}"), None, INACTIVE))
        await register(authority, CALLER, other.issue_pem(f"{number}"), None, INACTIVE)
    ids = [certificate.certificate_id for certificate in expected]
    for ascending, order in ((True, ids), (False, ids[::-1])):
        pages = await turned(
            2,
            lambda page: ca_certificates.list_certificates_by_ca(
                authority, CALLER, ca_certificate.certificate_id, page
            ),
            ascending=ascending,
        )
        assert [summary.certificate_id for page in pages for summary in page] == order
    stranger = await ca_certificates.list_certificates_by_ca(
        authority, STRANGER, ca_certificate.certificate_id, PageRequest(9, None, ascending=True)
    )
    assert stranger.items == ()
