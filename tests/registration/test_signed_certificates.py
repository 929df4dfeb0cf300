"""One certificate has one place in the registry, however its signature is encoded, and whatever has become of it."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.support.authority import NOW, REGION, Hook, caller_with, new_authority
from tests.support.encodings import negated
from tests.support.fleet import DEVICE
from tests.support.memory_store import MemoryStore
from tests.support.provisioning import HOOK_ARN
from tests.support.signing_requests import csr_pem
from tests.support.stores import sample_access_key
from tests.support.user_ca import UserCA, der_of, new_ca, pem_of, provided_pem_for

from thingmint.core.caller import Caller
from thingmint.core.certificate import Certificate, CertificateMode, CertificateStatus
from thingmint.core.certificate_provider import ProvidedOperation
from thingmint.core.errors import (
    CertificateInvalid,
    DuplicateCertificate,
    InvalidRequest,
    RegistrationFailed,
    ResourceExists,
    ServiceUnavailable,
)
from thingmint.core.identifiers import AccountId, CertificateProviderName, certificate_id_of
from thingmint.issuance.pem import certificate_pem
from thingmint.registration import (
    ca_certificates,
    certificate_providers,
    certificates,
    fleet,
    registration_codes,
    transfers,
)
from thingmint.registration.authority import RegistrationAuthority
from thingmint.registration.auto_registration import AutoRegistrationOutcome, FirstConnection, auto_register
from thingmint.registration.ca_certificates import CARegistration
from thingmint.registration.provisioning import register_thing
from thingmint.registration.registered_certificates import register, register_without_ca
from thingmint.registration.signed_certificates import sweep_revoked_certificates

CALLER, OTHER = caller_with(), caller_with(account=AccountId("222222222222"))
ACTIVE, INACTIVE, REVOKED = CertificateStatus.ACTIVE, CertificateStatus.INACTIVE, CertificateStatus.REVOKED
CONNECTION = FirstConnection(REGION, None, "192.0.2.7", "request-9")
TEMPLATE = json.dumps(
    {
        "Parameters": {"Pem": {"Type": "String"}},
        "Resources": {
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificatePem": {"Ref": "Pem"}, "Status": "ACTIVE"},
            }
        },
    }
)
Enter = Callable[[RegistrationAuthority, str], Awaitable[object]]


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def authority(store: MemoryStore) -> RegistrationAuthority:
    return new_authority(store)


async def open_ca(
    authority: RegistrationAuthority, ca: UserCA, caller: Caller = CALLER, *, default: bool = True
) -> None:
    """Register the CA, active and with automatic registration."""
    mode, verification = CertificateMode.SNI_ONLY, None
    if default:
        mode = CertificateMode.DEFAULT
        verification = ca.issue_pem(await registration_codes.registration_code(authority, caller))
    request = CARegistration(ca.pem, verification, mode, active=True, auto_registration=True)
    await ca_certificates.register(authority, caller, request)


async def with_ca(authority: RegistrationAuthority, pem: str) -> Certificate:
    return await register(authority, CALLER, pem, None, ACTIVE)


async def without_ca(authority: RegistrationAuthority, pem: str) -> Certificate:
    return await register_without_ca(authority, CALLER, pem, ACTIVE)


async def by_template(authority: RegistrationAuthority, pem: str) -> object:
    return await register_thing(authority, CALLER, TEMPLATE, {"Pem": pem})


async def by_connecting(authority: RegistrationAuthority, pem: str) -> object:
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(serialization.Encoding.DER)
    done = await auto_register(authority, CONNECTION, der)
    assert done is not None
    return done


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


async def test_another_encoding_of_what_the_service_issued_is_refused_at_every_entrance(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    own = authority.issuer.certificate
    request = CARegistration(pem_of(own), None, CertificateMode.SNI_ONLY, active=True, auto_registration=True)
    await ca_certificates.register(authority, CALLER, request)
    issued = (await certificates.issue_with_new_key(authority, CALLER, active=True)).certificate
    connection = replace(CONNECTION, account=CALLER.account)
    before = store.tables.dump()
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


async def revoked_and_deleted(authority: RegistrationAuthority, certificate: Certificate) -> None:
    await certificates.update_status(authority, CALLER, certificate.certificate_id, REVOKED)
    await certificates.delete(authority, CALLER, certificate.certificate_id)


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


async def transferred(authority: RegistrationAuthority, certificate: Certificate) -> None:
    await transfers.begin(authority, CALLER, certificate.certificate_id, OTHER.account, None)
    await transfers.accept(authority, OTHER, certificate.certificate_id, active=True)


@pytest.fixture
async def with_keys(authority: RegistrationAuthority) -> RegistrationAuthority:
    """An authority on whose registry both accounts have an access key, so that they can accept transfers."""
    for number, caller in enumerate((CALLER, OTHER)):
        key = sample_access_key(number, account=caller.account)
        await authority.store.write(lambda transaction, key=key: transaction.insert_access_key(key))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
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
    given = await fleet.create_from_csr(asking, DEVICE, csr_pem("p-256"), "client-1")
    der = given.certificate.der
    before = store.tables.dump()
    for encoding in (der, negated(der)):
        provider.answer = {"certificatePem": certificate_pem(encoding)}
        with pytest.raises(DuplicateCertificate):
            await fleet.create_from_csr(asking, DEVICE, csr_pem("p-256"), "client-1")
    assert store.tables.dump() == before
    await revoked_and_deleted(authority, given.certificate)
    before = store.tables.dump()
    for encoding in (der, negated(der)):
        provider.answer = {"certificatePem": certificate_pem(encoding)}
        with pytest.raises(ServiceUnavailable):
            await fleet.create_from_csr(asking, DEVICE, csr_pem("p-256"), "client-1")
    assert store.tables.dump() == before


async def test_a_provider_provides_no_other_encoding_of_what_the_service_issued(
    authority: RegistrationAuthority, store: MemoryStore, provider: Hook
) -> None:
    issued = await certificates.issue_from_csr(authority, CALLER, csr_pem("p-256"), active=True)
    provider.answer = {"certificatePem": certificate_pem(negated(issued.der))}
    with pytest.raises(DuplicateCertificate, match=f"another encoding of {issued.certificate_id}"):
        await fleet.create_from_csr(replace(authority, hooks=provider), DEVICE, csr_pem("p-256"), "client-1")
    assert len(store.tables.certificates) == 1


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

    later = replace(authority, clock=LaterClock())  # type: ignore[arg-type]  # its time is one
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
