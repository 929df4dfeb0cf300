"""Users' own CA certificates: how they come into the registry, change and leave it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from msgspec import structs
from tests.support.certificates.user_ca import CA_EXTENSION, UserCA, der_of, key_usage, new_ca
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import ACCOUNT, NOW, REGION, caller_with
from tests.support.registration.fleet import create_template
from tests.support.registration.provisioning import JITP_BODY
from tests.support.registration.registry import turned

from thingmint.core.certificates.ca_certificate import (
    AutoRegistrationStatus,
    CACertificate,
    CACertificateStatus,
    CACertificateUpdate,
    RegistrationConfig,
)
from thingmint.core.certificates.certificate import CertificateMode
from thingmint.core.errors import (
    CertificateInvalid,
    CertificateStateRefused,
    InvalidRequest,
    LimitExceeded,
    RegistrationCodeInvalid,
    ResourceExists,
    ResourceNotFound,
    Throttled,
    UpdateConflict,
)
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, TemplateName, certificate_id_of
from thingmint.core.paging import PageRequest
from thingmint.core.provisioning.stored_template import TemplateType
from thingmint.records.certificates import ca_certificates as ca_certificate_table
from thingmint.records.steps import Steps
from thingmint.registration.certificates import ca_certificates, registration_codes
from thingmint.registration.certificates.ca_certificates import CARegistration
from thingmint.registration.kernel.authority import RegistrationAuthority

CALLER = caller_with()
FLEET = TemplateName("fleet")
STRANGER = caller_with(account=AccountId("222222222222"))
CONFIG = RegistrationConfig(template_name=FLEET, role_arn="arn:aws:iam::123456789012:role/JITP")


async def brought(authority: RegistrationAuthority, ca: UserCA, caller: object = CALLER) -> CARegistration:
    """Return a registration in DEFAULT mode with the account's own code."""
    code = await registration_codes.registration_code(authority, caller)  # type: ignore[arg-type]  # a Caller
    return CARegistration(ca.pem, ca.issue_pem(code))


def sni_only(ca: UserCA) -> CARegistration:
    return CARegistration(ca.pem, None, CertificateMode.SNI_ONLY)


async def test_a_ca_that_is_registered_in_spite_of_its_usages_is_warned_of(
    authority: RegistrationAuthority, caplog: pytest.LogCaptureFixture
) -> None:
    # As in the documentation of Terraform's aws_iot_ca_certificate.
    usages = [
        (key_usage(digital_signature=True, key_encipherment=True), True),
        (x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ]
    await ca_certificates.register(authority, CALLER, sni_only(new_ca()))
    assert not caplog.messages
    registered = await ca_certificates.register(authority, CALLER, sni_only(new_ca(extensions=[CA_EXTENSION, *usages])))
    lacking, nothing = caplog.messages
    assert registered.arn in lacking
    assert "lacks keyCertSign" in lacking
    assert registered.arn in nothing
    assert "nothing is registered automatically" in nothing
    assert "lacks clientAuth" in nothing


def stored(store: MemoryStore) -> Sequence[object]:
    return store.tables.rows("ca_certificate")


async def test_a_ca_whose_key_is_proved_is_registered_inactive(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    registered = await ca_certificates.register(authority, CALLER, await brought(authority, ca))
    assert registered.certificate_id == certificate_id_of(der_of(ca.certificate))
    assert registered.arn == f"arn:aws:iot:{REGION}:{ACCOUNT}:cacert/{registered.certificate_id}"
    assert (registered.status, registered.auto_registration) == (
        CACertificateStatus.INACTIVE,
        AutoRegistrationStatus.DISABLE,
    )
    assert registered.mode is CertificateMode.DEFAULT
    assert await ca_certificates.describe(authority, CALLER, registered.certificate_id) == registered
    entry = store.tables.audit[-1]
    assert (entry.action, entry.resource) == ("RegisterCACertificate", registered.arn)
    assert entry.detail == {"status": "INACTIVE", "mode": "DEFAULT", "auto_registration": "DISABLE"}


async def test_what_was_asked_for_is_registered(authority: RegistrationAuthority) -> None:
    await create_template(authority, JITP_BODY, name=FLEET, kind=TemplateType.JITP, caller=CALLER)
    wanted = structs.replace(sni_only(new_ca()), active=True, auto_registration=True, registration_config=CONFIG)
    registered = await ca_certificates.register(authority, CALLER, wanted)
    assert (registered.status, registered.auto_registration, registered.mode, registered.registration_config) == (
        CACertificateStatus.ACTIVE,
        AutoRegistrationStatus.ENABLE,
        CertificateMode.SNI_ONLY,
        CONFIG,
    )
    assert await ca_certificates.describe(authority, CALLER, registered.certificate_id) == registered


async def test_default_mode_needs_a_verification_and_the_other_takes_none(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    for request in (CARegistration(ca.pem, None), CARegistration(ca.pem, ca.issue_pem(), CertificateMode.SNI_ONLY)):
        with pytest.raises(InvalidRequest, match="verificationCertificate"):
            await ca_certificates.register(authority, CALLER, request)
    assert not stored(store)


async def test_the_verification_carries_the_code_of_the_account_that_registers(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    ca = new_ca()
    with pytest.raises(RegistrationCodeInvalid):
        await ca_certificates.register(authority, CALLER, CARegistration(ca.pem, ca.issue_pem("somebody")))
    foreign = await brought(authority, ca, STRANGER)
    for _ in range(2):
        with pytest.raises(RegistrationCodeInvalid):
            await ca_certificates.register(authority, CALLER, foreign)
        await registration_codes.registration_code(authority, CALLER)
    assert not stored(store)


async def test_a_deleted_code_proves_nothing(authority: RegistrationAuthority) -> None:
    request = await brought(authority, new_ca())
    await registration_codes.delete_registration_code(authority, CALLER)
    with pytest.raises(RegistrationCodeInvalid):
        await ca_certificates.register(authority, CALLER, request)


async def test_the_verification_is_signed_with_the_key_of_the_ca(authority: RegistrationAuthority) -> None:
    ca, impostor = new_ca(), new_ca()
    request = structs.replace(await brought(authority, impostor), ca_certificate_pem=ca.pem)
    with pytest.raises(CertificateInvalid, match="verification certificate is not signed by the CA certificate"):
        await ca_certificates.register(authority, CALLER, request)


@pytest.mark.parametrize("days", [-30, 30])
async def test_ca_and_verification_must_be_valid_now(authority: RegistrationAuthority, days: int) -> None:
    at = NOW + timedelta(days=days)
    with pytest.raises(CertificateInvalid, match="The CA certificate is valid from"):
        await ca_certificates.register(authority, CALLER, sni_only(new_ca(at=at)))
    ca = new_ca()
    code = await registration_codes.registration_code(authority, CALLER)
    with pytest.raises(CertificateInvalid, match="The verification certificate is valid from"):
        await ca_certificates.register(authority, CALLER, CARegistration(ca.pem, ca.issue_pem(code, at=at)))


async def test_a_certificate_of_a_device_is_no_ca(authority: RegistrationAuthority) -> None:
    with pytest.raises(CertificateInvalid, match="CA:TRUE"):
        await ca_certificates.register(authority, CALLER, sni_only(new_ca(extensions=[])))


async def test_an_account_registers_a_ca_once(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    registered = await ca_certificates.register(authority, CALLER, await brought(authority, ca))
    for again in (await brought(authority, ca), sni_only(ca)):
        with pytest.raises(ResourceExists) as refusal:
            await ca_certificates.register(authority, CALLER, again)
        assert refusal.value.resource_id == registered.certificate_id
        assert refusal.value.resource_arn == registered.arn


async def test_in_default_mode_one_account_of_a_region_has_a_ca(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    registered = await ca_certificates.register(authority, CALLER, await brought(authority, ca))
    with pytest.raises(ResourceExists) as refusal:
        await ca_certificates.register(authority, STRANGER, await brought(authority, ca, STRANGER))
    assert (refusal.value.resource_id, refusal.value.resource_arn) == (registered.certificate_id, None)
    elsewhere = caller_with(account=STRANGER.account, region=Region("us-east-1"))
    await ca_certificates.register(authority, elsewhere, await brought(authority, ca, elsewhere))
    await ca_certificates.register(authority, STRANGER, sni_only(ca))


async def test_in_the_other_mode_many_accounts_have_it(authority: RegistrationAuthority) -> None:
    ca = new_ca()
    for caller in (CALLER, STRANGER):
        registered = await ca_certificates.register(authority, caller, sni_only(ca))
        assert registered.scope == caller.scope


async def test_ten_cas_of_an_account_have_one_subject(authority: RegistrationAuthority, store: MemoryStore) -> None:
    ten = [await ca_certificates.register(authority, CALLER, sni_only(new_ca())) for _ in range(10)]
    with pytest.raises(LimitExceeded):
        await ca_certificates.register(authority, CALLER, sni_only(new_ca()))
    assert len(stored(store)) == 10
    await ca_certificates.register(authority, CALLER, sni_only(new_ca("Other CA")))
    await ca_certificates.register(authority, STRANGER, sni_only(new_ca()))
    await ca_certificates.delete(authority, CALLER, ten[0].certificate_id)
    await ca_certificates.register(authority, CALLER, sni_only(new_ca()))
    with pytest.raises(LimitExceeded):
        await ca_certificates.register(authority, CALLER, sni_only(new_ca()))


async def test_a_ca_of_another_account_does_not_exist(authority: RegistrationAuthority) -> None:
    registered = await ca_certificates.register(authority, CALLER, sni_only(new_ca()))
    certificate_id = registered.certificate_id
    for call in (
        ca_certificates.describe(authority, STRANGER, certificate_id),
        ca_certificates.update(authority, STRANGER, certificate_id, CACertificateUpdate()),
        ca_certificates.delete(authority, STRANGER, certificate_id),
    ):
        with pytest.raises(ResourceNotFound, match=certificate_id):
            await call
    request = PageRequest(10, None, ascending=True)
    assert (await ca_certificates.list_ca_certificates(authority, STRANGER, None, request)).items == ()


async def ids(authority: RegistrationAuthority, template: str | None = None, *, up: bool = True) -> list[CertificateId]:
    """Return the whole list, read two at a time."""
    pages = await turned(
        2, lambda page: ca_certificates.list_ca_certificates(authority, CALLER, template, page), ascending=up
    )
    return [summary.certificate_id for page in pages for summary in page]


async def test_lists_are_in_order_and_by_template(authority: RegistrationAuthority) -> None:
    await create_template(authority, JITP_BODY, name=FLEET, kind=TemplateType.JITP, caller=CALLER)
    registered: list[CACertificate] = []
    for number in range(5):
        config = CONFIG if number % 2 else None
        request = structs.replace(sni_only(new_ca()), registration_config=config)
        registered.append(await ca_certificates.register(authority, CALLER, request))
    everything = [each.certificate_id for each in registered]
    assert await ids(authority) == everything
    assert await ids(authority, up=False) == everything[::-1]
    assert await ids(authority, "fleet") == everything[1::2]
    assert await ids(authority, "fleet", up=False) == everything[1::2][::-1]
    assert await ids(authority, "other") == []


async def test_a_change_is_stored_with_its_version(authority: RegistrationAuthority, store: MemoryStore) -> None:
    registered = await ca_certificates.register(authority, CALLER, sni_only(new_ca()))
    await create_template(authority, JITP_BODY, name=FLEET, kind=TemplateType.JITP, caller=CALLER)
    change = CACertificateUpdate(CACertificateStatus.ACTIVE, AutoRegistrationStatus.ENABLE, CONFIG)
    await ca_certificates.update(authority, CALLER, registered.certificate_id, change)
    changed = await ca_certificates.describe(authority, CALLER, registered.certificate_id)
    assert changed == replace(
        registered,
        status=CACertificateStatus.ACTIVE,
        auto_registration=AutoRegistrationStatus.ENABLE,
        registration_config=CONFIG,
        customer_version=2,
    )
    assert store.tables.audit[-1].action == "UpdateCACertificate"


async def test_a_template_that_is_named_must_be_there(authority: RegistrationAuthority, store: MemoryStore) -> None:
    registered = await ca_certificates.register(authority, CALLER, sni_only(new_ca()))
    await create_template(authority, JITP_BODY, name=FLEET, kind=TemplateType.JITP, caller=STRANGER)
    before = store.tables.dump()
    for call in (
        ca_certificates.register(authority, CALLER, structs.replace(sni_only(new_ca()), registration_config=CONFIG)),
        ca_certificates.update(
            authority, CALLER, registered.certificate_id, CACertificateUpdate(registration_config=CONFIG)
        ),
    ):
        with pytest.raises(ResourceNotFound, match="The provisioning template fleet does not exist"):
            await call
    assert store.tables.dump() == before


async def test_a_template_that_is_named_is_one_for_first_connections(authority: RegistrationAuthority) -> None:
    await create_template(authority, name=FLEET, caller=CALLER)
    with pytest.raises(InvalidRequest, match="is of type FLEET_PROVISIONING, not JITP"):
        await ca_certificates.register(
            authority, CALLER, structs.replace(sni_only(new_ca()), registration_config=CONFIG)
        )


async def test_a_change_of_nothing_is_none(authority: RegistrationAuthority, store: MemoryStore) -> None:
    registered = await ca_certificates.register(authority, CALLER, sni_only(new_ca()))
    before = store.tables.dump()
    await ca_certificates.update(
        authority, CALLER, registered.certificate_id, CACertificateUpdate(CACertificateStatus.INACTIVE)
    )
    assert store.tables.dump() == before


async def test_an_active_ca_is_not_deleted(authority: RegistrationAuthority, store: MemoryStore) -> None:
    registered = await ca_certificates.register(authority, CALLER, structs.replace(sni_only(new_ca()), active=True))
    with pytest.raises(CertificateStateRefused):
        await ca_certificates.delete(authority, CALLER, registered.certificate_id)
    inactive = CACertificateUpdate(CACertificateStatus.INACTIVE)
    await ca_certificates.update(authority, CALLER, registered.certificate_id, inactive)
    await ca_certificates.delete(authority, CALLER, registered.certificate_id)
    assert not stored(store)
    with pytest.raises(ResourceNotFound):
        await ca_certificates.delete(authority, CALLER, registered.certificate_id)


async def test_a_change_that_another_request_overtook_is_refused(
    authority: RegistrationAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered = await ca_certificates.register(authority, CALLER, sni_only(new_ca()))

    def overtaken(*arguments: object) -> Steps[bool]:
        yield from ()
        return False

    monkeypatch.setattr(ca_certificate_table, "delete_ca_certificate", overtaken)
    with pytest.raises(UpdateConflict, match="at the same time"):
        await ca_certificates.delete(authority, CALLER, registered.certificate_id)


async def test_a_registration_code_stays_until_it_is_deleted(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    code = await registration_codes.registration_code(authority, CALLER)
    assert len(code) == 64
    assert await registration_codes.registration_code(authority, CALLER) == code
    assert await registration_codes.registration_code(authority, STRANGER) != code
    await registration_codes.delete_registration_code(authority, CALLER)
    assert await registration_codes.registration_code(authority, CALLER) != code
    own = [entry.action for entry in store.tables.audit if entry.scope == CALLER.scope]
    assert own == ["GetRegistrationCode", "DeleteRegistrationCode", "GetRegistrationCode"]
    assert not [entry for entry in store.tables.audit if code in str(entry)]


async def test_a_code_that_is_not_there_cannot_be_deleted(authority: RegistrationAuthority) -> None:
    with pytest.raises(ResourceNotFound):
        await registration_codes.delete_registration_code(authority, CALLER)


async def test_of_two_that_ask_for_the_first_code_both_get_the_stored_one(
    authority: RegistrationAuthority, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ca_certificate_table.registration_code
    missed = iter([None])

    def late(scope: Scope) -> Steps[str | None]:
        # The first look comes before the other request's commit.
        found = yield from real(scope)
        return next(missed, found)

    code = await registration_codes.registration_code(authority, CALLER)
    monkeypatch.setattr(ca_certificate_table, "registration_code", late)
    assert await registration_codes.registration_code(authority, CALLER) == code
    assert len(store.tables.audit) == 1


async def test_a_code_that_vanished_meanwhile_is_not_given_out(
    authority: RegistrationAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanished(*arguments: object) -> Steps[None]:
        yield from ()

    await registration_codes.registration_code(authority, CALLER)
    monkeypatch.setattr(ca_certificate_table, "registration_code", vanished)
    with pytest.raises(Throttled):
        await registration_codes.registration_code(authority, CALLER)
