"""The first connection of a device whose CA is registered for it."""

from datetime import timedelta

import pytest
from cryptography import x509
from msgspec.structs import replace
from tests.support.certificates.entrances import CALLER, CONNECTION, OTHER, open_ca
from tests.support.certificates.user_ca import CA_EXTENSION, UserCA, der_of, new_ca
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, Listener
from tests.support.registration.provisioning import JITP_BODY, ROLE_ARN

from thingmint.core.caller import Caller
from thingmint.core.certificates.ca_certificate import (
    AutoRegistrationStatus,
    CACertificate,
    CACertificateStatus,
    CACertificateUpdate,
    RegistrationConfig,
)
from thingmint.core.certificates.certificate import CertificateMode, CertificateStatus
from thingmint.core.errors import CertificateInvalid
from thingmint.core.identifiers import Region
from thingmint.registration.certificates import ca_certificates
from thingmint.registration.certificates.auto_registration import AutoRegistrationOutcome, auto_register
from thingmint.registration.certificates.registered_certificates import register_without_ca
from thingmint.registration.kernel.authority import RegistrationAuthority

CONFIG = RegistrationConfig(template_body=JITP_BODY, role_arn=ROLE_ARN)


async def configured_ca(
    authority: RegistrationAuthority, ca: UserCA, caller: Caller = CALLER, *, default: bool = True
) -> CACertificate:
    """Register the CA as `open_ca` does, with a template."""
    return await open_ca(authority, ca, caller, default=default, config=CONFIG)


async def test_a_new_certificate_becomes_pending_and_brings_the_configuration(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    ca_certificate = await configured_ca(authority, ca)
    done = await auto_register(authority, CONNECTION, der_of(ca.issue()))
    assert done is not None
    assert done.outcome is AutoRegistrationOutcome.REGISTERED
    assert done.ca_certificate == ca_certificate
    assert done.ca_certificate.registration_config == CONFIG
    assert store.tables.certificates == [done.certificate]
    assert (done.certificate.status, done.certificate.mode) == (
        CertificateStatus.PENDING_ACTIVATION,
        CertificateMode.DEFAULT,
    )
    assert done.certificate.ca_certificate_id == ca_certificate.certificate_id
    entry = store.tables.audit[-1]
    assert (entry.action, entry.resource, entry.principal_arn) == (
        "RegisterCertificate",
        done.certificate.arn,
        done.certificate.arn,
    )
    assert (entry.source_address, entry.request_id, entry.detail["by"]) == (
        "192.0.2.7",
        "request-9",
        "auto-registration",
    )
    assert isinstance(authority.events, Listener)
    assert authority.events.entries[-1] == entry


async def test_a_second_connection_finds_what_the_first_one_registered(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    await configured_ca(authority, ca)
    leaf = der_of(ca.issue())
    first = await auto_register(authority, CONNECTION, leaf)
    before = store.tables.dump()
    second = await auto_register(authority, CONNECTION, leaf)
    assert first is not None
    assert second == replace(first, outcome=AutoRegistrationOutcome.PRESENT)
    assert store.tables.dump() == before


@pytest.mark.parametrize(
    "update",
    [
        CACertificateUpdate(status=CACertificateStatus.INACTIVE),
        CACertificateUpdate(auto_registration=AutoRegistrationStatus.DISABLE),
    ],
)
async def test_a_ca_that_is_closed_registers_nothing(
    authority: RegistrationAuthority, store: MemoryStore, update: CACertificateUpdate
) -> None:
    ca = new_ca()
    ca_certificate = await configured_ca(authority, ca)
    await ca_certificates.update(authority, CALLER, ca_certificate.certificate_id, update)
    assert await auto_register(authority, CONNECTION, der_of(ca.issue())) is None
    assert not store.tables.certificates


@pytest.mark.parametrize("statement", ["DELETE FROM ca_certificate", "UPDATE ca_certificate SET status = 'INACTIVE'"])
async def test_a_ca_that_is_closed_meanwhile_registers_nothing(
    authority: RegistrationAuthority, store: MemoryStore, statement: str
) -> None:
    ca = new_ca()
    await configured_ca(authority, ca)
    real = store.read

    async def read_then_close(program: object) -> object:
        found = await real(program)  # type: ignore[arg-type, var-annotated]  # a program
        store.execute(statement)
        return found

    store.read = read_then_close  # type: ignore[assignment, method-assign]  # as another request would
    assert await auto_register(authority, CONNECTION, der_of(ca.issue())) is None
    assert not store.tables.certificates


async def test_a_ca_whose_time_is_over_registers_nothing(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    await configured_ca(authority, ca)

    class LaterClock:
        def now(self) -> object:
            return NOW + timedelta(days=11)

    later = replace(authority, clock=LaterClock())
    assert await auto_register(later, CONNECTION, der_of(ca.issue(at=NOW + timedelta(days=11)))) is None


async def test_unknown_issuers_and_impostors_register_nothing(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await configured_ca(authority, new_ca())
    for stranger in (new_ca(), new_ca("Unknown CA")):
        assert await auto_register(authority, CONNECTION, der_of(stranger.issue())) is None
    elsewhere = replace(CONNECTION, region=Region("us-east-1"))
    assert await auto_register(authority, elsewhere, der_of(new_ca().issue())) is None
    assert not store.tables.certificates


async def test_the_ca_that_signed_is_found_among_those_with_its_name(authority: RegistrationAuthority) -> None:
    cas = [new_ca() for _ in range(3)]
    registered = [await configured_ca(authority, ca) for ca in cas]
    for ca, ca_certificate in zip(cas, registered, strict=True):
        done = await auto_register(authority, CONNECTION, der_of(ca.issue()))
        assert done is not None
        assert done.ca_certificate == ca_certificate


async def test_a_ca_of_many_accounts_registers_for_the_one_that_the_device_names(
    authority: RegistrationAuthority,
) -> None:
    ca = new_ca()
    for caller in (CALLER, OTHER):
        await configured_ca(authority, ca, caller, default=False)
    leaf = der_of(ca.issue())
    assert await auto_register(authority, CONNECTION, leaf) is None
    for caller in (OTHER, CALLER):
        done = await auto_register(authority, replace(CONNECTION, account=caller.account), leaf)
        assert done is not None
        assert done.certificate.scope == caller.scope
        assert done.outcome is AutoRegistrationOutcome.REGISTERED


async def test_the_account_that_the_device_names_comes_before_the_one_in_default_mode(
    authority: RegistrationAuthority,
) -> None:
    ca = new_ca()
    await configured_ca(authority, ca, CALLER)
    await configured_ca(authority, ca, OTHER, default=False)
    done = await auto_register(authority, replace(CONNECTION, account=OTHER.account), der_of(ca.issue()))
    assert done is not None
    assert done.certificate.scope == OTHER.scope


async def test_a_certificate_that_another_account_has_in_default_mode_is_not_registered_again(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    await configured_ca(authority, ca)
    leaf = der_of(ca.issue())
    assert await auto_register(authority, CONNECTION, leaf) is not None
    store.execute("UPDATE ca_certificate SET account = $1", OTHER.account)
    assert await auto_register(authority, CONNECTION, leaf) is None
    assert len(store.tables.certificates) == 1


async def test_a_certificate_that_was_registered_by_hand_is_left_as_it_is(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    await configured_ca(authority, ca)
    present = await register_without_ca(authority, CALLER, ca.issue_pem(), CertificateStatus.REVOKED)
    done = await auto_register(authority, CONNECTION, present.der)
    assert done is not None
    assert (done.outcome, done.certificate) == (AutoRegistrationOutcome.PRESENT, present)


SERVER = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])


@pytest.mark.parametrize("is_leaf", [True, False])
async def test_what_is_for_servers_is_registered_if_the_operator_relaxes_the_rule(
    authority: RegistrationAuthority, store: MemoryStore, *, is_leaf: bool
) -> None:
    ca = new_ca() if is_leaf else new_ca(extensions=[CA_EXTENSION, (SERVER, False)])
    await configured_ca(authority, ca)
    leaf = der_of(ca.issue(extensions=[(SERVER, True)] if is_leaf else []))
    with pytest.raises(CertificateInvalid, match="lacks clientAuth"):
        await auto_register(authority, CONNECTION, leaf)
    assert not store.tables.certificates
    assert await auto_register(replace(authority, auto_register_any_usage=True), CONNECTION, leaf) is not None


async def test_a_certificate_that_is_not_acceptable_is_said_to_be_so(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    await configured_ca(authority, ca)
    for der in (der_of(ca.issue(at=NOW - timedelta(days=60))), b"junk"):
        with pytest.raises(CertificateInvalid):
            await auto_register(authority, CONNECTION, der)
