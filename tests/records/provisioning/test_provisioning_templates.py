"""Provisioning templates and claims, on both engines: what is stored, and who wins a race."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.databases.stores import CREATED_AT, OTHER_SCOPE, SCOPE
from tests.support.registration.provisioning import HOOK_ARN, ROLE_ARN

from thingmint.core.errors import LimitExceeded, ResourceExists
from thingmint.core.identifiers import CertificateId, TemplateName
from thingmint.core.paging import PageKey, PageRequest
from thingmint.core.provisioning.claim import ClaimCertificate
from thingmint.core.provisioning.ownership import Ownership, OwnershipUse
from thingmint.core.provisioning.stored_template import (
    PreProvisioningHook,
    ProvisioningTemplate,
    TemplateType,
    TemplateVersion,
)
from thingmint.records.provisioning import claims as claim_table
from thingmint.records.provisioning import provisioning_templates as provisioning_template_table
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store

LIMIT = 3
FULL_PAGE = PageRequest(10, None, ascending=True)


def template(name: str = "fleet") -> ProvisioningTemplate:
    return ProvisioningTemplate(
        scope=SCOPE,
        name=TemplateName(name),
        generation_id=f"generation of {name}",
        type=TemplateType.FLEET_PROVISIONING,
        description="Zähler",
        enabled=True,
        role_arn=ROLE_ARN,
        hook=PreProvisioningHook(HOOK_ARN),
        created_at=CREATED_AT,
        modified_at=CREATED_AT + timedelta(seconds=1),
    )


def claim(number: int, name: str = "fleet") -> ClaimCertificate:
    end = CREATED_AT + timedelta(minutes=number)
    return ClaimCertificate(SCOPE, CertificateId(f"{number:064x}"), TemplateName(name), f"generation of {name}", end)


async def insert(store: Store, each: ProvisioningTemplate) -> None:
    def program() -> Steps[None]:
        yield from provisioning_template_table.insert_provisioning_template(each, LIMIT)
        version = TemplateVersion(each.default_version, f"body of {each.name}", CREATED_AT)
        yield from provisioning_template_table.insert_template_version(each, version)

    await store.write(program)


async def fetch(store: Store, each: ProvisioningTemplate) -> ProvisioningTemplate | None:
    return await store.read(lambda: provisioning_template_table.provisioning_template(each.scope, each.name))


async def names(store: Store, request: PageRequest = FULL_PAGE) -> list[str]:
    found = await store.read(lambda: provisioning_template_table.provisioning_templates(SCOPE, request))
    return [entry.name for entry in found]


@pytest.mark.parametrize(
    "stored",
    [
        template(),
        replace(template(), hook=None, description=None, enabled=False),
        replace(template(), type=TemplateType.JITP, hook=None),
    ],
)
async def test_a_template_comes_back_as_it_was_stored(store: Store, stored: ProvisioningTemplate) -> None:
    await insert(store, stored)
    assert await fetch(store, stored) == stored
    assert await fetch(store, replace(stored, scope=OTHER_SCOPE)) is None
    (entry,) = await store.read(lambda: provisioning_template_table.provisioning_templates(SCOPE, FULL_PAGE))
    assert (entry.arn, entry.type, entry.description, entry.enabled, entry.created_at, entry.modified_at) == (
        stored.arn,
        stored.type,
        stored.description,
        stored.enabled,
        stored.created_at,
        stored.modified_at,
    )


async def test_an_update_stores_what_may_change(store: Store) -> None:
    before = template()
    after = replace(
        before,
        description=None,
        enabled=False,
        role_arn=f"{ROLE_ARN}2",
        hook=None,
        modified_at=CREATED_AT + timedelta(days=1),
        default_version=2,
        last_version=3,
    )
    await insert(store, before)
    await store.write(lambda: provisioning_template_table.update_provisioning_template(after))
    assert await fetch(store, after) == after


async def test_of_many_creators_of_one_name_one_wins(store: Store) -> None:
    made = await asyncio.gather(*(insert(store, template()) for _ in range(8)), return_exceptions=True)
    assert sum(each is None for each in made) == 1
    assert sum(isinstance(each, ResourceExists) for each in made) == 7
    assert await names(store) == ["fleet"]


async def test_concurrent_creators_do_not_pass_the_limit(store: Store) -> None:
    made = await asyncio.gather(*(insert(store, template(f"t{number}")) for number in range(8)), return_exceptions=True)
    assert sum(each is None for each in made) == LIMIT
    assert sum(isinstance(each, LimitExceeded) for each in made) == 8 - LIMIT
    assert len(await names(store)) == LIMIT


async def test_deletions_make_room(store: Store) -> None:
    for number in range(LIMIT):
        await insert(store, template(f"t{number}"))
    await store.write(lambda: provisioning_template_table.delete_provisioning_template(template("t0")))
    await insert(store, template("t9"))
    with pytest.raises(LimitExceeded):
        await insert(store, template("t10"))
    assert await names(store) == ["t1", "t2", "t9"]
    assert await names(store, PageRequest(1, None, ascending=True)) == ["t1"]


async def test_of_many_changes_at_once_none_is_lost(store: Store) -> None:
    await insert(store, template())

    def program() -> Steps[int]:
        before = yield from provisioning_template_table.provisioning_template_for_update(SCOPE, TemplateName("fleet"))
        assert before is not None
        after = replace(before, last_version=before.last_version + 1)
        yield from provisioning_template_table.update_provisioning_template(after)
        version = TemplateVersion(after.last_version, "{}", CREATED_AT)
        yield from provisioning_template_table.insert_template_version(after, version)
        return after.last_version

    made = await asyncio.gather(*(store.write(program) for _ in range(8)))
    assert sorted(made) == list(range(2, 10))
    assert await store.read(lambda: provisioning_template_table.template_version_count(template())) == 9


async def test_versions_are_kept_apart_by_template(store: Store) -> None:
    for name in ("a", "b"):
        await insert(store, template(name))
    version = await store.read(lambda: provisioning_template_table.template_version(template("a"), 1))
    assert version == TemplateVersion(1, "body of a", CREATED_AT)
    assert await store.write(lambda: provisioning_template_table.delete_template_version(template("a"), 1))
    assert not await store.write(lambda: provisioning_template_table.delete_template_version(template("a"), 1))
    assert await store.read(lambda: provisioning_template_table.template_versions(template("a"), FULL_PAGE)) == ()
    (entry,) = await store.read(lambda: provisioning_template_table.template_versions(template("b"), FULL_PAGE))
    assert (entry.version, entry.created_at) == (1, CREATED_AT)
    after = PageRequest(10, PageKey(entry.position), ascending=True)
    assert await store.read(lambda: provisioning_template_table.template_versions(template("b"), after)) == ()


async def test_claims_are_recognised_by_their_fingerprint_and_swept_when_they_end(store: Store) -> None:
    def program() -> Steps[None]:
        for number in (1, 2, 3):
            yield from claim_table.insert_claim_certificate(claim(number))

    await store.write(program)
    assert await store.read(lambda: claim_table.claim_certificate(claim(2).certificate_id)) == claim(2)
    at = claim(3).expires_at
    assert await store.write(lambda: claim_table.delete_expired_claims(at, 1)) == 1
    assert await store.write(lambda: claim_table.delete_expired_claims(at, 10)) == 1
    assert await store.read(lambda: claim_table.claim_certificate(claim(2).certificate_id)) is None
    assert await store.read(lambda: claim_table.claim_certificate(claim(3).certificate_id)) == claim(3)


async def test_ownership_is_noted_until_it_is_forgotten(store: Store) -> None:
    noted = [Ownership(SCOPE, CertificateId(f"{n:064x}"), CREATED_AT + timedelta(minutes=n)) for n in (2, 1, 3)]

    def program() -> Steps[None]:
        for ownership in noted:
            yield from claim_table.insert_ownership(ownership)

    await store.write(program)
    at = CREATED_AT + timedelta(minutes=3)
    expired = await store.read(lambda: claim_table.expired_ownerships(at, 10))
    assert list(expired) == [noted[1], noted[0]]
    assert len(await store.read(lambda: claim_table.expired_ownerships(at, 1))) == 1
    assert await store.write(lambda: claim_table.delete_ownership(noted[1]))
    assert not await store.write(lambda: claim_table.delete_ownership(noted[1]))


async def test_a_claim_knows_its_template_by_its_identity(store: Store) -> None:
    await insert(store, template())
    await store.write(lambda: claim_table.insert_claim_certificate(claim(1)))
    found = await store.read(lambda: claim_table.claim_certificate(claim(1).certificate_id))
    assert found == claim(1)
    again = replace(template(), generation_id="another")
    await store.write(lambda: provisioning_template_table.delete_provisioning_template(template()))
    await insert(store, again)
    assert await fetch(store, again) == again
    assert await store.read(lambda: claim_table.claim_certificate(claim(1).certificate_id)) is None


async def test_a_token_is_taken_for_one_request_and_keeps_its_answer(store: Store) -> None:
    ownership = Ownership(SCOPE, CertificateId("ab" * 32), CREATED_AT)
    assert await store.read(lambda: claim_table.ownership_use(ownership)) is None
    await store.write(lambda: claim_table.insert_ownership(ownership))
    assert await store.read(lambda: claim_table.ownership_use(ownership)) == OwnershipUse(None, None)
    assert await store.write(lambda: claim_table.take_ownership(ownership, "first"))
    assert not await store.write(lambda: claim_table.take_ownership(ownership, "second"))
    assert not await store.write(lambda: claim_table.take_ownership(ownership, "first"))
    await store.write(lambda: claim_table.record_answer(ownership, b"\x00sealed"))
    use = await store.read(lambda: claim_table.ownership_use(ownership))
    assert use == OwnershipUse("first", b"\x00sealed")
