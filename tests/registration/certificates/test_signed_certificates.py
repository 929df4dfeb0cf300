"""One certificate has one place in the registry, however its signature is encoded."""

from datetime import timedelta

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
    Enter,
    by_connecting,
    by_template,
    open_ca,
    with_ca,
    without_ca,
)
from tests.support.certificates.user_ca import der_of, new_ca, pem_of
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, issuers_of, new_issuing_ca

from thingmint.core.certificates.certificate import CertificateMode, CertificateStatus
from thingmint.core.errors import (
    CertificateInvalid,
    RegistrationFailed,
    ResourceExists,
)
from thingmint.core.identifiers import certificate_id_of
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.registration.certificates import ca_certificates, certificates
from thingmint.registration.certificates.auto_registration import AutoRegistrationOutcome, auto_register
from thingmint.registration.certificates.ca_certificates import CARegistration
from thingmint.registration.certificates.registered_certificates import register, register_without_ca
from thingmint.registration.kernel.authority import RegistrationAuthority

ENTRANCES: dict[str, tuple[Enter, type[Exception]]] = {
    "RegisterCertificate": (with_ca, ResourceExists),
    "RegisterCertificateWithoutCA": (without_ca, ResourceExists),
    "template": (by_template, RegistrationFailed),
    "first connection": (by_connecting, CertificateInvalid),
}


@pytest.mark.parametrize("status", [ACTIVE, INACTIVE, REVOKED])
@pytest.mark.parametrize("second", ENTRANCES)
@pytest.mark.parametrize("first", ["RegisterCertificate", "RegisterCertificateWithoutCA", "template"])
async def test_another_encoding_is_refused_at_every_entrance_and_in_every_status(
    authority: RegistrationAuthority, store: MemoryStore, first: str, second: str, status: CertificateStatus
) -> None:
    ca = new_ca()
    await open_ca(authority, ca)
    issued = ca.issue()
    await ENTRANCES[first][0](authority, pem_of(issued))
    await certificates.update_status(authority, CALLER, certificate_id_of(der_of(issued)), status)
    before = store.tables.dump()
    enter, refusal = ENTRANCES[second]
    with pytest.raises(refusal):
        await enter(authority, certificate_pem(negated(der_of(issued))))
    assert store.tables.dump() == before


async def test_the_refusal_names_the_certificate_that_is_there(authority: RegistrationAuthority) -> None:
    issued = new_ca().issue()
    present = await without_ca(authority, pem_of(issued))
    with pytest.raises(ResourceExists) as refused:
        await without_ca(authority, certificate_pem(negated(der_of(issued))))
    assert (refused.value.resource_id, refused.value.resource_arn) == (present.certificate_id, present.arn)


@pytest.mark.parametrize("is_retired", [False, True], ids=["active", "retired"])
async def test_another_encoding_of_what_the_service_issued_is_refused_at_every_entrance(
    authority: RegistrationAuthority, store: MemoryStore, *, is_retired: bool
) -> None:
    own = authority.issuers.active.ca.certificate
    request = CARegistration(pem_of(own), None, CertificateMode.SNI_ONLY, active=True, auto_registration=True)
    await ca_certificates.register(authority, CALLER, request)
    issued = (await certificates.issue_with_new_key(authority, CALLER, active=True)).certificate
    connection = replace(CONNECTION, account=CALLER.account)
    before = store.tables.dump()
    if is_retired:
        authority = replace(authority, issuers=issuers_of(new_issuing_ca(), authority.issuers.active.ca))
    for der in (issued.der, negated(issued.der)):
        pem = certificate_pem(der)
        with pytest.raises(ResourceExists):
            await with_ca(authority, pem)
        with pytest.raises(ResourceExists):
            await without_ca(authority, pem)
        with pytest.raises(CertificateInvalid, match="issued by the service itself"):
            await auto_register(authority, connection, der)
    assert store.tables.dump() == before


async def test_another_account_may_have_the_same_certificate_for_itself(authority: RegistrationAuthority) -> None:
    issued = new_ca().issue()
    for caller in (CALLER, OTHER):
        await register_without_ca(authority, caller, pem_of(issued), ACTIVE)
    with pytest.raises(ResourceExists):
        await register_without_ca(authority, OTHER, certificate_pem(negated(der_of(issued))), ACTIVE)


async def test_one_account_has_a_certificate_in_default_mode_in_whatever_encoding(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    await open_ca(authority, ca)
    issued = ca.issue()
    await with_ca(authority, pem_of(issued))
    store.execute("UPDATE ca_certificate SET account = $1", OTHER.account)
    with pytest.raises(ResourceExists):
        await register(authority, OTHER, certificate_pem(negated(der_of(issued))), None, ACTIVE)


async def test_a_device_that_names_another_account_brings_no_other_encoding(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    await open_ca(authority, ca)
    await open_ca(authority, ca, OTHER, default=False)
    issued = ca.issue()
    present = await with_ca(authority, pem_of(issued))
    await certificates.update_status(authority, CALLER, present.certificate_id, REVOKED)
    with pytest.raises(CertificateInvalid, match=f"another encoding of {present.certificate_id}"):
        await auto_register(authority, replace(CONNECTION, account=OTHER.account), negated(der_of(issued)))


async def test_two_cas_of_one_name_may_give_one_number(authority: RegistrationAuthority) -> None:
    first, second = new_ca(), new_ca()
    for ca in (first, second):
        await open_ca(authority, ca)
    revoked = await by_connecting(authority, pem_of(first.issue(serial_number=7)))
    await certificates.update_status(authority, CALLER, revoked.certificate.certificate_id, REVOKED)  # type: ignore[attr-defined]  # an AutoRegistration
    done = await by_connecting(authority, pem_of(second.issue(serial_number=7)))
    assert done.outcome is AutoRegistrationOutcome.REGISTERED  # type: ignore[attr-defined]  # as above


async def test_self_signed_certificates_may_have_one_name_and_one_number(authority: RegistrationAuthority) -> None:
    for _ in range(2):
        ca = new_ca("device")
        await without_ca(authority, pem_of(ca.issue("device", key=ca.key, serial_number=1)))


async def test_a_number_that_a_ca_repeats_is_taken_until_it_is_revoked(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    await open_ca(authority, ca)
    first = await by_connecting(authority, pem_of(ca.issue("one", serial_number=1)))
    assert await by_connecting(authority, pem_of(ca.issue("two", serial_number=1)))
    for status in (INACTIVE, REVOKED):
        await certificates.update_status(authority, CALLER, first.certificate.certificate_id, status)  # type: ignore[attr-defined]  # an AutoRegistration
        with pytest.raises(CertificateInvalid, match=f"serial number 1 is that of .* which is {status}"):
            await by_connecting(authority, pem_of(ca.issue("three", serial_number=1)))
    # An operator decides otherwise, as at AWS.
    await with_ca(authority, pem_of(ca.issue("four", serial_number=1)))


async def test_a_ca_certificate_is_registered_once_in_whatever_encoding(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    present = await ca_certificates.register(authority, CALLER, CARegistration(ca.pem, None, CertificateMode.SNI_ONLY))
    before = store.tables.dump()
    other = certificate_pem(negated(der_of(ca.certificate)))
    for pem in (ca.pem, other):
        with pytest.raises(ResourceExists) as refused:
            await ca_certificates.register(authority, CALLER, CARegistration(pem, None, CertificateMode.SNI_ONLY))
        assert refused.value.resource_id == present.certificate_id
    assert store.tables.dump() == before
    await ca_certificates.register(authority, OTHER, CARegistration(other, None, CertificateMode.SNI_ONLY))


async def test_what_is_registered_is_answered_so_before_anything_else_is_asked(
    authority: RegistrationAuthority,
) -> None:
    ca = new_ca()
    present = await without_ca(authority, ca.issue_pem())

    class LaterClock:
        def now(self) -> object:
            return NOW + timedelta(days=99)

    later = replace(authority, clock=LaterClock())
    for enter in (with_ca, without_ca):
        # Its CA is unknown, and its time is over.
        with pytest.raises(ResourceExists) as refused:
            await enter(later, certificate_pem(present.der))
        assert refused.value.resource_id == present.certificate_id
    registered = await ca_certificates.register(
        authority, CALLER, CARegistration(ca.pem, None, CertificateMode.SNI_ONLY)
    )
    with pytest.raises(ResourceExists) as refused:
        await ca_certificates.register(
            later, CALLER, CARegistration(ca.pem, ca.issue_pem("no code"), CertificateMode.DEFAULT)
        )
    assert refused.value.resource_id == registered.certificate_id
