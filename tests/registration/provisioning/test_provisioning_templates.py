"""Provisioning templates and claims in the registry: what is recorded, in which order, and what is left alone."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from msgspec import structs
from tests.support.certificates.user_ca import new_ca
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import ACCOUNT, NOW, Listener, caller_with, new_authority, shared_key_pair
from tests.support.registration.fleet import create_template
from tests.support.registration.provisioning import BODY, HOOK_ARN, JITP_BODY, ROLE_ARN
from tests.support.registration.registry import turned

from thingmint.core.caller import Caller
from thingmint.core.certificates.ca_certificate import RegistrationConfig
from thingmint.core.certificates.certificate import CertificateMode
from thingmint.core.errors import (
    DeletionRefused,
    InvalidRequest,
    LimitExceeded,
    ResourceExists,
    ResourceNotFound,
    VersionsLimitExceeded,
)
from thingmint.core.identifiers import CertificateId, Region, TemplateName, certificate_id_of
from thingmint.core.paging import PageRequest
from thingmint.core.provisioning.stored_template import (
    MAX_TEMPLATES,
    PreProvisioningHook,
    ProvisioningTemplate,
    TemplateType,
    TemplateUpdate,
)
from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.registration.certificates import ca_certificates
from thingmint.registration.certificates.ca_certificates import CARegistration
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import claims, provisioning_templates

CALLER = caller_with()
ELSEWHERE = caller_with(region=Region("eu-west-2"))
FLEET, OTHER = TemplateName("fleet"), TemplateName("other")
OTHER_BODY = BODY.replace("sensor-", "meter-")
FIRST = PageRequest(10, None, ascending=True)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


@pytest.fixture
def authority(store: MemoryStore, clock: SettableClock) -> RegistrationAuthority:
    return structs.replace(new_authority(store), clock=clock)


async def created(
    authority: RegistrationAuthority, name: TemplateName = FLEET, caller: Caller = CALLER
) -> ProvisioningTemplate:
    return await provisioning_templates.create(
        authority,
        caller,
        name,
        BODY,
        kind=TemplateType.FLEET_PROVISIONING,
        description="Sensors",
        enabled=True,
        role_arn=ROLE_ARN,
        hook=PreProvisioningHook(HOOK_ARN),
        tags={},
    )


def actions(store: MemoryStore) -> list[str]:
    return [entry.action for entry in store.tables.audit]


async def versions_of(authority: RegistrationAuthority) -> list[int]:
    _, page = await provisioning_templates.list_versions(authority, CALLER, FLEET, FIRST)
    return [entry.version for entry in page.items]


async def test_a_template_is_described_as_it_was_created(authority: RegistrationAuthority, store: MemoryStore) -> None:
    template = await created(authority)
    described, version = await provisioning_templates.describe(authority, CALLER, FLEET)
    assert described == template
    assert (version.version, version.body, version.created_at) == (1, BODY, NOW)
    assert [(entry.action, entry.resource) for entry in store.tables.audit] == [
        ("CreateProvisioningTemplate", template.arn)
    ]
    assert isinstance(authority.events, Listener)
    assert authority.events.entries == store.tables.audit


async def test_a_name_is_taken_once_in_a_region(authority: RegistrationAuthority, store: MemoryStore) -> None:
    template = await created(authority)
    before = store.tables.dump()
    with pytest.raises(ResourceExists) as refused:
        await created(authority)
    assert (refused.value.resource_id, refused.value.resource_arn) == (FLEET, template.arn)
    assert store.tables.dump() == before
    assert (await created(authority, caller=ELSEWHERE)).scope == ELSEWHERE.scope


async def test_there_are_256_templates_at_most_and_a_deleted_one_makes_room(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    for number in range(MAX_TEMPLATES):
        await created(authority, TemplateName(f"t{number}"))
    before = store.tables.dump()
    with pytest.raises(LimitExceeded, match="at most 256"):
        await created(authority)
    assert store.tables.dump() == before
    await provisioning_templates.delete(authority, CALLER, TemplateName("t7"))
    await created(authority)


async def test_tags_that_cannot_be_kept_create_nothing(authority: RegistrationAuthority, store: MemoryStore) -> None:
    with pytest.raises(InvalidRequest, match="at most 50"):
        await provisioning_templates.create(
            authority,
            CALLER,
            FLEET,
            BODY,
            kind=TemplateType.JITP,
            description=None,
            enabled=False,
            role_arn=ROLE_ARN,
            hook=None,
            tags={f"a-{number}": "b" for number in range(51)},
        )
    assert not store.tables.audit


async def test_pages_hold_every_template_once_in_the_order_of_creation(authority: RegistrationAuthority) -> None:
    for number in range(5):
        await created(authority, TemplateName(f"t{number}"))
    pages = await turned(2, lambda request: provisioning_templates.list_templates(authority, CALLER, request))
    assert [[entry.name for entry in page] for page in pages] == [["t0", "t1"], ["t2", "t3"], ["t4"]]
    assert not (await provisioning_templates.list_templates(authority, ELSEWHERE, FIRST)).items


async def test_an_update_is_stored_and_audited(
    authority: RegistrationAuthority, clock: SettableClock, store: MemoryStore
) -> None:
    before = await created(authority)
    clock.at = NOW + timedelta(minutes=1)
    await provisioning_templates.update(authority, CALLER, FLEET, TemplateUpdate(enabled=False, remove_hook=True))
    after, _ = await provisioning_templates.describe(authority, CALLER, FLEET)
    assert after == replace(before, enabled=False, hook=None, modified_at=clock.at)
    assert store.tables.audit[-1].detail == {"enabled": "false", "default_version": "1", "hook": ""}


async def test_a_version_that_does_not_exist_is_no_default(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await created(authority)
    before = store.tables.dump()
    for number in (0, 2, 2**62):
        with pytest.raises(ResourceNotFound, match=f"has no version {number}"):
            await provisioning_templates.update(authority, CALLER, FLEET, TemplateUpdate(default_version=number))
    assert store.tables.dump() == before


async def test_the_default_version_gives_the_body(authority: RegistrationAuthority) -> None:
    await created(authority)
    template, number = await provisioning_templates.create_version(
        authority, CALLER, FLEET, OTHER_BODY, as_default=False
    )
    assert (number, template.default_version) == (2, 1)
    await provisioning_templates.update(authority, CALLER, FLEET, TemplateUpdate(default_version=2))
    _, version = await provisioning_templates.describe(authority, CALLER, FLEET)
    assert (version.version, version.body) == (2, OTHER_BODY)
    _, first = await provisioning_templates.describe_version(authority, CALLER, FLEET, 1)
    assert first.body == BODY


async def test_a_number_of_a_version_is_never_given_again(authority: RegistrationAuthority) -> None:
    await created(authority)
    await provisioning_templates.create_version(authority, CALLER, FLEET, OTHER_BODY, as_default=False)
    await provisioning_templates.delete_version(authority, CALLER, FLEET, 2)
    _, number = await provisioning_templates.create_version(authority, CALLER, FLEET, OTHER_BODY, as_default=True)
    assert number == 3
    assert await versions_of(authority) == [1, 3]


async def test_a_template_has_five_versions_at_most(authority: RegistrationAuthority, store: MemoryStore) -> None:
    await created(authority)
    for _ in range(4):
        await provisioning_templates.create_version(authority, CALLER, FLEET, OTHER_BODY, as_default=False)
    before = store.tables.dump()
    with pytest.raises(VersionsLimitExceeded):
        await provisioning_templates.create_version(authority, CALLER, FLEET, OTHER_BODY, as_default=False)
    assert store.tables.dump() == before
    assert await versions_of(authority) == [1, 2, 3, 4, 5]


async def test_versions_that_race_get_numbers_of_their_own(authority: RegistrationAuthority) -> None:
    await created(authority)
    made = await asyncio.gather(
        *(
            provisioning_templates.create_version(authority, CALLER, FLEET, OTHER_BODY, as_default=True)
            for _ in range(6)
        ),
        return_exceptions=True,
    )
    numbers = [each[1] for each in made if isinstance(each, tuple)]
    assert sorted(numbers) == [2, 3, 4, 5]
    assert sum(isinstance(each, VersionsLimitExceeded) for each in made) == 2


async def test_the_default_version_and_one_that_is_not_there_are_not_deleted(
    authority: RegistrationAuthority,
) -> None:
    await created(authority)
    with pytest.raises(DeletionRefused):
        await provisioning_templates.delete_version(authority, CALLER, FLEET, 1)
    with pytest.raises(ResourceNotFound):
        await provisioning_templates.delete_version(authority, CALLER, FLEET, 9)
    assert await versions_of(authority) == [1]


async def test_a_deleted_template_takes_its_versions_and_claims_along(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await created(authority)
    await created(authority, OTHER)
    gone = await claims.create_claim(authority, CALLER, FLEET)
    kept = await claims.create_claim(authority, CALLER, OTHER)
    await provisioning_templates.delete(authority, CALLER, FLEET)
    with pytest.raises(ResourceNotFound):
        await provisioning_templates.describe(authority, CALLER, FLEET)
    assert await claims.recognise_claim(authority, gone.certificate_id) is None
    assert await claims.recognise_claim(authority, kept.certificate_id) is not None
    assert len(store.tables.rows("provisioning_template_version")) == 1
    await created(authority)
    assert await versions_of(authority) == [1]


async def test_what_does_not_exist_is_not_found(authority: RegistrationAuthority, store: MemoryStore) -> None:
    await created(authority, caller=ELSEWHERE)
    before = store.tables.dump()
    for call in (
        provisioning_templates.describe(authority, CALLER, FLEET),
        provisioning_templates.describe_version(authority, CALLER, FLEET, 1),
        provisioning_templates.list_versions(authority, CALLER, FLEET, FIRST),
        provisioning_templates.update(authority, CALLER, FLEET, TemplateUpdate(enabled=True)),
        provisioning_templates.delete(authority, CALLER, FLEET),
        provisioning_templates.create_version(authority, CALLER, FLEET, OTHER_BODY, as_default=True),
        provisioning_templates.delete_version(authority, CALLER, FLEET, 1),
        claims.create_claim(authority, CALLER, FLEET),
    ):
        with pytest.raises(ResourceNotFound, match="The provisioning template fleet does not exist"):
            await call
    assert store.tables.dump() == before


async def test_a_claim_is_issued_for_five_minutes_and_in_no_list(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await created(authority)
    claim = await claims.create_claim(authority, CALLER, FLEET)
    certificate = x509.load_der_x509_certificate(claim.der)
    (name,) = certificate.subject
    end = NOW.replace(microsecond=0) + timedelta(minutes=5)
    assert claim.certificate_id == certificate_id_of(claim.der)
    assert (name.oid, len(str(name.value))) == (x509.NameOID.COMMON_NAME, 64)
    assert int(str(name.value), 16)
    assert certificate.not_valid_after_utc == claim.expires_at == end
    assert certificate.not_valid_before_utc == end - timedelta(minutes=7)
    certificate.verify_directly_issued_by(authority.issuers.active.ca.certificate)
    assert not store.tables.certificates
    assert (store.tables.audit[-1].action, store.tables.audit[-1].detail["certificate_id"]) == (
        "CreateProvisioningClaim",
        claim.certificate_id,
    )


async def test_a_claim_is_recognised_until_it_ends(authority: RegistrationAuthority, clock: SettableClock) -> None:
    await created(authority)
    issued = await claims.create_claim(authority, CALLER, FLEET)
    claim = await claims.recognise_claim(authority, issued.certificate_id)
    assert claim is not None
    assert (claim.scope.account, claim.template_name) == (ACCOUNT, FLEET)
    assert await claims.recognise_claim(authority, CertificateId("0" * 64)) is None
    clock.at = issued.expires_at + timedelta(seconds=1)
    assert await claims.recognise_claim(authority, issued.certificate_id) is None


async def test_ended_claims_are_swept_in_batches(
    authority: RegistrationAuthority, clock: SettableClock, store: MemoryStore
) -> None:
    await created(authority)
    for _ in range(3):
        await claims.create_claim(authority, CALLER, FLEET)
    assert await claims.sweep_claims(authority, 10) == 0
    clock.at = NOW + timedelta(minutes=6)
    fresh = await claims.create_claim(authority, CALLER, FLEET)
    assert [await claims.sweep_claims(authority, 2) for _ in range(3)] == [2, 1, 0]
    assert [row[0] for row in store.tables.rows("claim_certificate")] == [fresh.certificate_id]


async def test_a_template_that_goes_while_the_key_is_made_gives_no_claim(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    class Slow:
        async def take(self) -> KeyPair:
            await provisioning_templates.delete(authority, CALLER, FLEET)
            return shared_key_pair()

    await created(authority)
    with pytest.raises(ResourceNotFound):
        await claims.create_claim(structs.replace(authority, key_source=Slow()), CALLER, FLEET)
    assert not store.tables.rows("claim_certificate")


async def test_a_body_that_is_no_template_is_refused_and_nothing_stored(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await created(authority)
    before = store.tables.dump()
    with pytest.raises(InvalidRequest, match="Resources is missing"):
        await provisioning_templates.create_version(authority, CALLER, FLEET, "{}", as_default=True)
    with pytest.raises(InvalidRequest, match="line 1"):
        await provisioning_templates.create(
            authority,
            CALLER,
            OTHER,
            "{",
            kind=TemplateType.FLEET_PROVISIONING,
            description=None,
            enabled=True,
            role_arn=ROLE_ARN,
            hook=None,
            tags={},
        )
    assert store.tables.dump() == before


async def test_a_template_that_a_ca_certificate_names_is_not_deleted(
    authority: RegistrationAuthority, store: MemoryStore
) -> None:
    await create_template(authority, JITP_BODY, kind=TemplateType.JITP, caller=CALLER)
    config = RegistrationConfig(template_body=None, template_name=FLEET, role_arn=ROLE_ARN)
    request = CARegistration(new_ca().pem, None, CertificateMode.SNI_ONLY, registration_config=config)
    await ca_certificates.register(authority, CALLER, request)
    before = store.tables.dump()
    with pytest.raises(DeletionRefused, match="CA certificate registers its devices"):
        await provisioning_templates.delete(authority, CALLER, FLEET)
    assert store.tables.dump() == before
