"""What was revoked and deleted stays away until its own end, unless an operator brings it back."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.authority import NOW, new_authority
from tests.support.encodings import negated
from tests.support.entrances import (
    CALLER,
    CONNECTION,
    INACTIVE,
    OTHER,
    Enter,
    by_connecting,
    by_template,
    open_ca,
    revoked_and_deleted,
    with_ca,
    without_ca,
)
from tests.support.memory_store import MemoryStore
from tests.support.user_ca import der_of, new_ca, pem_of

from thingmint.core.errors import (
    CertificateInvalid,
)
from thingmint.issuance.pem import certificate_pem
from thingmint.registration.certificates import certificates
from thingmint.registration.certificates.auto_registration import auto_register
from thingmint.registration.certificates.signed_certificates import sweep_revoked_certificates
from thingmint.registration.kernel.authority import RegistrationAuthority


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def authority(store: MemoryStore) -> RegistrationAuthority:
    return new_authority(store)


async def test_what_was_revoked_and_deleted_does_not_come_back_by_itself(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    await open_ca(authority, ca)
    issued = ca.issue(serial_number=5)
    await revoked_and_deleted(authority, await with_ca(authority, pem_of(issued)))
    before = store.tables.dump()
    again = ca.issue("renewed under the same number", serial_number=5)
    for der in (der_of(issued), negated(der_of(issued)), der_of(again)):
        with pytest.raises(CertificateInvalid, match="was revoked before it was deleted"):
            await auto_register(authority, CONNECTION, der)
    assert store.tables.dump() == before
    assert await auto_register(authority, CONNECTION, der_of(ca.issue())) is not None


async def test_what_was_revoked_for_one_account_alone_is_no_others_matter(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    for caller in (CALLER, OTHER):
        await open_ca(authority, ca, caller, default=False)
    issued = ca.issue()
    await revoked_and_deleted(authority, await with_ca(authority, pem_of(issued)))
    assert await auto_register(authority, replace(CONNECTION, account=OTHER.account), der_of(issued)) is not None
    with pytest.raises(CertificateInvalid):
        await auto_register(authority, replace(CONNECTION, account=CALLER.account), der_of(issued))


@pytest.mark.parametrize("enter", [with_ca, without_ca, by_template])
async def test_an_operator_brings_back_what_was_revoked_and_deleted(
    authority: RegistrationAuthority, store: MemoryStore, enter: Enter
) -> None:
    ca = new_ca()
    await open_ca(authority, ca)
    issued = ca.issue()
    await revoked_and_deleted(authority, await with_ca(authority, pem_of(issued)))
    await enter(authority, pem_of(issued))
    assert not store.tables.rows("revoked_certificate")


async def test_what_was_inactive_and_deleted_comes_back_as_at_aws(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    await open_ca(authority, ca)
    issued = ca.issue()
    present = await with_ca(authority, pem_of(issued))
    await certificates.update_status(authority, CALLER, present.certificate_id, INACTIVE)
    await certificates.delete(authority, CALLER, present.certificate_id)
    assert await by_connecting(authority, pem_of(issued))


async def test_a_certificate_of_the_service_is_remembered_as_well(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    issued = (await certificates.issue_with_new_key(authority, CALLER, active=True)).certificate
    await revoked_and_deleted(authority, issued)
    ((_, account, *_),) = store.tables.rows("revoked_certificate")
    assert account == CALLER.account
    # Twice revoked and deleted is remembered once.
    await revoked_and_deleted(authority, await without_ca(authority, certificate_pem(issued.der)))
    assert len(store.tables.rows("revoked_certificate")) == 1


async def test_revoked_certificates_are_forgotten_when_they_end(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    for _ in range(3):
        await revoked_and_deleted(authority, await without_ca(authority, new_ca().issue_pem()))
    assert await sweep_revoked_certificates(authority, 10) == 0

    class LaterClock:
        def now(self) -> object:
            return NOW + timedelta(days=11)

    later = replace(authority, clock=LaterClock())  # type: ignore[arg-type]  # its time is one
    assert await sweep_revoked_certificates(later, 2) == 2
    assert await sweep_revoked_certificates(later, 2) == 1
    assert not store.tables.rows("revoked_certificate")
