"""Policies in the store: what every engine promises of them, also to those who change them at the same time."""

import asyncio
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from msgspec import structs
from tests.support.databases.stores import CREATED_AT, OTHER_SCOPE, SCOPE, Timings, sample_certificate
from tests.support.machine.soak import examples
from tests.support.registration.authority import caller_with, new_authority
from tests.support.registration.memberships import Memberships, store_memberships
from tests.support.registration.policies import document, effective_policies, statement

from thingmint.core.errors import (
    DeletionRefused,
    LimitExceeded,
    ResourceExists,
    ResourceNotFound,
    VersionsLimitExceeded,
)
from thingmint.core.identifiers import PolicyName, ThingGroupName, ThingName, thing_arn, thing_group_arn
from thingmint.core.paging import PageRequest
from thingmint.core.policies.stored_policy import MAX_POLICIES_OF_A_TARGET, MAX_VERSIONS, DevicePolicy, PolicyVersion
from thingmint.core.policies.target import CertificateTarget, CognitoTarget, PolicyTarget, ThingGroupTarget
from thingmint.records import changes as change_table
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.policies import policies as policy_table
from thingmint.records.policies import policy_attachments as policy_attachment_table
from thingmint.records.policies.policy_attachments import PolicySearchStart
from thingmint.records.statement import Statement, rows_of
from thingmint.records.steps import Program, Steps
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.change_watch import ChangeWatch
from thingmint.registration.kernel.changes import changes_from, prune_changes
from thingmint.registration.kernel.ports import Store
from thingmint.registration.policies import policies, policy_attachments
from thingmint.storage import open_store
from thingmint.storage.dialect import POSTGRESQL

NAME = PolicyName("Lamp")
POLICY = DevicePolicy(SCOPE, NAME, 1, 1, "generation", CREATED_AT, CREATED_AT)
VERSION = PolicyVersion(1, "{ Größe }", CREATED_AT, CREATED_AT)
DOCUMENT = document(statement(Action="iot:Connect"))
CALLER = caller_with(account=SCOPE.account, region=SCOPE.region)
ALL = PageRequest(100, None, ascending=True)
CERTIFICATE = sample_certificate(1)
COMMITS = examples(200, 400)
TARGETS: dict[str, PolicyTarget] = {
    "certificate": CertificateTarget(SCOPE, CERTIFICATE.certificate_id),
    "group": ThingGroupTarget(SCOPE, ThingGroupName("Lamps")),
    "identity": CognitoTarget("eu-central-1:0f1e2d3c"),
}


def authority_on(store: Store) -> RegistrationAuthority:
    return structs.replace(new_authority(), store=store)


async def insert_policy(store: Store, policy: DevicePolicy, *versions: PolicyVersion) -> bool:
    def program() -> Steps[bool]:
        inserted = yield from policy_table.insert_policy(policy)
        for version in versions:
            yield from policy_table.insert_policy_version(policy, version)
        return inserted

    return await store.write(program)


async def new_policies(store: Store, *names: str) -> None:
    for name in names:
        await policies.create(authority_on(store), CALLER, PolicyName(name), DOCUMENT, {})


async def new_targets(store: Store) -> None:
    await store.write(lambda: certificate_table.insert_certificate(CERTIFICATE))
    await store_memberships(store, SCOPE, Memberships(groups=(("Lamps",),)))


async def attach(store: Store, name: str, target: PolicyTarget) -> None:
    await policy_attachments.attach(authority_on(store), CALLER, "AttachPolicy", PolicyName(name), target)


async def attached(store: Store, target: PolicyTarget) -> list[str]:
    page = await policy_attachments.list_attached(authority_on(store), CALLER, target, ALL, inherited=False)
    return [policy.name for policy in page.items]


async def test_a_policy_comes_back_as_it_was_stored(store: Store) -> None:
    assert await insert_policy(store, POLICY, VERSION, replace(VERSION, version=2, document="second"))
    read = store.read
    assert await read(lambda: policy_table.policy_with_version(SCOPE, NAME, None)) == (POLICY, VERSION)
    assert await read(lambda: policy_table.policy_with_version(SCOPE, NAME, 1)) == (POLICY, VERSION)
    assert await read(lambda: policy_table.policy_with_version(SCOPE, NAME, 3)) == (POLICY, None)
    assert await read(lambda: policy_table.policy_with_version(OTHER_SCOPE, NAME, None)) is None
    assert await store.write(lambda: policy_table.policy_for_update(SCOPE, NAME)) == POLICY
    assert await store.write(lambda: policy_table.policy_for_update(OTHER_SCOPE, NAME)) is None
    versions = await read(lambda: policy_table.policy_versions(SCOPE, NAME))
    assert [(each.version, each.is_default) for each in versions] == [(2, False), (1, True)]


async def test_an_update_stores_versions_and_times(store: Store) -> None:
    await insert_policy(store, POLICY, VERSION, replace(VERSION, version=2))
    later = CREATED_AT + timedelta(microseconds=1)
    after = replace(POLICY, default_version=2, last_version=2, modified_at=later)

    def program() -> Steps[None]:
        yield from policy_table.update_policy(after)
        yield from policy_table.touch_policy_version(after, 1, later)

    await store.write(program)
    assert await store.read(lambda: policy_table.policy_with_version(SCOPE, NAME, 1)) == (
        after,
        replace(VERSION, modified_at=later),
    )


async def test_a_policy_name_is_free_in_every_other_region(store: Store) -> None:
    assert await insert_policy(store, POLICY)
    assert not await insert_policy(store, POLICY)
    assert await insert_policy(store, replace(POLICY, scope=OTHER_SCOPE))


async def test_groups_and_things_lead_to_policies_within_their_region_alone(store: Store) -> None:
    await new_targets(store)
    principal = CERTIFICATE.arn
    everything = Memberships(
        groups=(("A",), ("A", "B"), ("A", "B", "C"), ("D",)),
        things=("lamp", "pump"),
        members=(("lamp", ("A", "B", "C")), ("pump", ("D",))),
        principals=(("lamp", principal),),
    )
    await store_memberships(store, SCOPE, everything)
    # The same names in another region, where the pump is the principal's.
    await store_memberships(store, OTHER_SCOPE, replace(everything, principals=(("pump", principal),)))
    await new_policies(store, "A", "B", "C", "D", "Own")
    for name in ("A", "B", "C", "D"):
        await attach(store, name, ThingGroupTarget(SCOPE, ThingGroupName(name)))
    await attach(store, "Own", TARGETS["certificate"])

    found = await effective_policies(store, SCOPE, principal)

    assert [policy.name for policy in found.policies] == ["A", "B", "C", "Own"]
    assert all(policy.document == DOCUMENT for policy in found.policies)
    assert found.depends_on == {
        principal,
        thing_arn(SCOPE, ThingName("lamp")),
        *(thing_group_arn(SCOPE, ThingGroupName(name)) for name in ("A", "B", "C")),
        *(policy.arn for policy in found.policies),
    }
    assert (await effective_policies(store, OTHER_SCOPE, principal)).policies == ()


async def test_groups_in_a_circle_do_not_hold_up_the_answer(store: Store) -> None:
    await store_memberships(store, SCOPE, Memberships(groups=(("A",), ("A", "B"))))
    await store.write(lambda: rows_of("UPDATE thing_group SET parent_name = 'B' WHERE name = 'A'"))
    beginning = PolicySearchStart(group_name="A")
    found = await store.read(lambda: policy_attachment_table.effective_policies(SCOPE, beginning))
    assert found.depends_on == {thing_group_arn(SCOPE, ThingGroupName(name)) for name in ("A", "B")}


@pytest.mark.parametrize("kind", list(TARGETS))
async def test_of_many_attachments_at_once_a_target_takes_ten(store: Store, kind: str) -> None:
    await new_targets(store)
    names = [f"policy-{number}" for number in range(MAX_POLICIES_OF_A_TARGET + 5)]
    await new_policies(store, *names)

    results = await asyncio.gather(*(attach(store, name, TARGETS[kind]) for name in names), return_exceptions=True)

    assert results.count(None) == MAX_POLICIES_OF_A_TARGET
    assert sum(isinstance(result, LimitExceeded) for result in results) == 5
    stored = [name for name, result in zip(names, results, strict=True) if result is None]
    assert sorted(await attached(store, TARGETS[kind])) == sorted(stored)


async def test_versions_made_at_once_have_numbers_of_their_own_and_keep_the_limit(store: Store) -> None:
    await new_policies(store, NAME)
    authority = authority_on(store)

    results = await asyncio.gather(
        *(policies.create_version(authority, CALLER, NAME, DOCUMENT, as_default=True) for _ in range(10)),
        return_exceptions=True,
    )

    made = sorted(result[1].version for result in results if not isinstance(result, BaseException))
    assert made == list(range(2, MAX_VERSIONS + 1))
    assert sum(isinstance(result, VersionsLimitExceeded) for result in results) == 10 - len(made)
    listed = await policies.list_versions(authority, CALLER, NAME)
    assert [(each.version, each.is_default) for each in listed] == [
        (version, version == MAX_VERSIONS) for version in range(MAX_VERSIONS, 0, -1)
    ]


async def test_a_policy_created_at_once_is_created_once(store: Store) -> None:
    results = await asyncio.gather(*(new_policies(store, NAME) for _ in range(10)), return_exceptions=True)
    assert results.count(None) == 1
    assert sum(isinstance(result, ResourceExists) for result in results) == 9


@pytest.mark.parametrize("kind", list(TARGETS))
async def test_a_policy_deleted_while_it_is_attached_is_either_gone_or_attached(store: Store, kind: str) -> None:
    await new_targets(store)
    authority, target = authority_on(store), TARGETS[kind]
    for _ in range(10):
        await new_policies(store, NAME)
        attaching, deleting = await asyncio.gather(
            attach(store, NAME, target), policies.delete(authority, CALLER, NAME), return_exceptions=True
        )
        if deleting is None:
            assert isinstance(attaching, ResourceNotFound)
            assert await attached(store, target) == []
        else:
            assert isinstance(deleting, DeletionRefused)
            assert attaching is None
            assert await attached(store, target) == [NAME]
            await policy_attachments.detach(authority, CALLER, "DetachPolicy", NAME, target)
            await policies.delete(authority, CALLER, NAME)


async def test_a_certificate_deleted_while_a_policy_is_attached_leaves_no_attachment(store: Store) -> None:
    await new_policies(store, NAME)
    authority = authority_on(store)
    for number in range(2, 12):
        certificate = sample_certificate(number)
        await store.write(lambda new=certificate: certificate_table.insert_certificate(new))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        target = CertificateTarget(SCOPE, certificate.certificate_id)
        attaching, deleting = await asyncio.gather(
            attach(store, NAME, target),
            certificates.delete(authority, CALLER, certificate.certificate_id, detach_policies=True),
            return_exceptions=True,
        )
        assert deleting is None
        assert attaching is None or isinstance(attaching, ResourceNotFound)
    page = await policy_attachments.list_targets(authority, CALLER, NAME, ALL)
    assert page.items == ()


async def test_attaching_and_detaching_at_once_ends_without_a_deadlock_and_tells_every_change(store: Store) -> None:
    await new_targets(store)
    names = [f"policy-{number}" for number in range(4)]
    await new_policies(store, *names)
    authority = authority_on(store)
    stamp = (await changes_from(store, None)).stamp

    def turns(name: str, target: PolicyTarget) -> list[asyncio.Task[None]]:
        detach = policy_attachments.detach
        return [
            asyncio.ensure_future(attach(store, name, target)),
            asyncio.ensure_future(detach(authority, CALLER, "DetachPolicy", PolicyName(name), target)),
            asyncio.ensure_future(attach(store, name, target)),
        ]

    await asyncio.gather(*(turn for name in names for target in TARGETS.values() for turn in turns(name, target)))

    # However they fell out, what is listed from both sides is the same.
    for target in TARGETS.values():
        for name in names:
            page = await policy_attachments.list_targets(authority, CALLER, PolicyName(name), ALL)
            assert (target.name in [each.name for each in page.items]) == (name in await attached(store, target))
    assert (await changes_from(store, stamp)).resources == frozenset({target.name for target in TARGETS.values()})


async def test_whoever_follows_the_changes_is_told_of_each_while_many_are_made(store: Store) -> None:
    last = (await changes_from(store, None)).stamp
    seen: set[str] = set()
    writes = [asyncio.ensure_future(store.write(note_of(f"resource-{number}"))) for number in range(60)]
    while True:
        finished = all(write.done() for write in writes)
        found = await changes_from(store, last)
        assert found.resources is not None
        assert found.stamp >= last
        seen, last = seen | found.resources, found.stamp
        if finished:
            break
        await asyncio.sleep(0)
    assert seen == {f"resource-{number}" for number in range(60)}


@pytest.mark.soak
async def test_every_reader_is_told_of_every_change_once_however_commits_overlap(
    migrated_postgresql_url: str, tmp_path: Path
) -> None:
    """Three nodes read while a dozen transactions of different lengths are open at a time; some are undone."""
    stores = [await open_store(migrated_postgresql_url, tmp_path, observe=Timings()) for _ in range(3)]
    writer = await asyncpg.create_pool(migrated_postgresql_url, min_size=12, max_size=12)
    note, chance = next(change_table.record_change("any")), random.Random(1)
    assert isinstance(note, Statement)
    sql, kept = POSTGRESQL.translate(note.sql), set[str]()

    async def write(number: int) -> None:
        async with writer.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(sql, f"resource-{number}")
            for _ in range(chance.randrange(20)):
                await asyncio.sleep(0)
                await connection.execute("SELECT 1")
            if chance.random() < 0.2:
                await transaction.rollback()
            else:
                kept.add(f"resource-{number}")
                await transaction.commit()

    async def follow(store: Store, stamp: int) -> list[str]:
        told = list[str]()
        is_last = False
        while not is_last:
            # What was committed before the question is in its answer.
            is_last = all(each.done() for each in writing)
            found = await changes_from(store, stamp)
            assert found.resources is not None
            assert found.stamp >= stamp
            told, stamp = [*told, *found.resources], found.stamp
        return told

    try:
        beginnings = [(await changes_from(store, None)).stamp for store in stores]
        writing = [asyncio.create_task(write(number)) for number in range(COMMITS)]
        followers = [asyncio.create_task(follow(store, stamp)) for store, stamp in zip(stores, beginnings, strict=True)]
        await asyncio.gather(*writing)
        for told in await asyncio.gather(*followers):
            assert sorted(told) == sorted(kept)
    finally:
        await writer.close()
        for store in stores:
            await store.close()


async def test_changes_that_nobody_needs_any_more_are_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_table, "KEPT_CHANGES", 5)
    monkeypatch.setattr(change_table, "_UNPRUNED", 2)
    slow = (await changes_from(store, None)).stamp
    for number in range(10):
        await store.write(note_of(f"resource-{number}"))
        last = await changes_from(store, slow)
    await prune_changes(store)
    # A reader that is too far behind is told that anything may have changed; others miss nothing.
    assert (await changes_from(store, slow)).resources is None
    assert (await changes_from(store, last.stamp - 5)).resources == frozenset(
        {f"resource-{number}" for number in range(5, 10)}
    )
    await prune_changes(store)
    assert (await changes_from(store, last.stamp)).resources == frozenset()


def note_of(resource: str) -> Program[None]:
    return lambda: change_table.record_change(resource)


async def test_a_change_that_began_first_and_ends_last_is_told(migrated_postgresql_url: str, tmp_path: Path) -> None:
    """On SQLite there are no such changes; here an order by beginnings alone would lose it."""
    early = await asyncpg.connect(migrated_postgresql_url)
    store = await open_store(migrated_postgresql_url, tmp_path, observe=Timings())
    try:
        stamp = (await changes_from(store, None)).stamp
        note = next(change_table.record_change("early"))
        assert isinstance(note, Statement)
        async with early.transaction():
            await early.execute(POSTGRESQL.translate(note.sql), *note.parameters)
            await store.write(note_of("late"))
            before = await changes_from(store, stamp)
            again = await changes_from(store, before.stamp)
        after = await changes_from(store, again.stamp)
    finally:
        await early.close()
        await store.close()
    assert before.resources == frozenset({"late"})
    # The early one has no position until it is committed, and then one behind all that were given.
    assert again.resources == frozenset()
    assert after.resources == frozenset({"early"})


async def test_every_node_is_told_what_another_changes(database_url: str | None, tmp_path: Path, store: Store) -> None:
    """Two stores on one database are two nodes; on SQLite, the service and its command line."""
    other = await open_store(database_url, tmp_path, observe=Timings())
    try:
        await new_targets(store)
        await new_policies(store, NAME)
        target, watch = TARGETS["certificate"], ChangeWatch[str](other)
        await watch.changed_keys()

        async def reading() -> tuple[list[str], frozenset[str]]:
            found = await effective_policies(other, SCOPE, target.name)
            return [policy.document for policy in found.policies], found.depends_on

        assert await watch.read("connection", reading) == []
        await attach(store, NAME, target)
        assert await watch.changed_keys() == {"connection"}
        assert await watch.read("connection", reading) == [DOCUMENT]
        newer = document(statement(Action="iot:Publish"))
        await policies.create_version(authority_on(store), CALLER, NAME, newer, as_default=True)
        assert await watch.changed_keys() == {"connection"}
        assert await watch.read("connection", reading) == [newer]
    finally:
        await other.close()


async def test_a_change_that_was_undone_is_not_told(store: Store) -> None:
    stamp = (await changes_from(store, None)).stamp

    def program() -> Steps[None]:
        yield from change_table.record_change("resource")
        raise ResourceNotFound("nothing here")

    with pytest.raises(ResourceNotFound):
        await store.write(program)
    assert (await changes_from(store, stamp)).resources == frozenset()
