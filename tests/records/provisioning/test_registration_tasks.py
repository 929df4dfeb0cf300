"""Bulk registrations, on both engines: what is stored, who may take a task, and that one runs at a time."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from msgspec import structs
from tests.support.databases.stores import CREATED_AT, OTHER_SCOPE, SCOPE
from tests.support.registration.authority import new_authority
from tests.support.registration.bulk import BUCKET, KEY, TEMPLATE, device, report, write_input
from tests.support.registration.fleet import OPERATOR
from tests.support.registration.provisioning import ROLE_ARN

from thingmint.core.errors import TaskExists
from thingmint.core.identifiers import Scope
from thingmint.core.paging import PageKey, PageRequest
from thingmint.core.provisioning.registration_task import (
    InputFile,
    LineOutcome,
    Progress,
    RegistrationTask,
    ReportType,
    TaskStatus,
)
from thingmint.data_directory.buckets import Buckets
from thingmint.records import audit as audit_table
from thingmint.records.provisioning import registration_tasks as registration_task_table
from thingmint.registration.kernel.ports import Store
from thingmint.registration.provisioning import bulk
from thingmint.registration.provisioning.bulk_runner import BulkRunner

NEWEST = PageRequest(10, None, ascending=False)
LATER = CREATED_AT + timedelta(seconds=15)


def task(number: int = 1, status: TaskStatus = TaskStatus.IN_PROGRESS, *, scope: Scope = SCOPE) -> RegistrationTask:
    return RegistrationTask(
        scope=scope,
        task_id=f"task-{number}",
        template_body="{}",
        input=InputFile("bucket", "key/Größe", 2**40, 2**60),
        role_arn=ROLE_ARN,
        principal_arn="arn:caller",
        status=status,
        message=None if number % 2 else "Größe",
        created_at=CREATED_AT + timedelta(seconds=number),
        modified_at=CREATED_AT + timedelta(seconds=number + 1),
        progress=Progress(1, 2, 3, 4, 5, 6),
    )


async def insert(store: Store, each: RegistrationTask) -> bool:
    return await store.write(lambda: registration_task_table.insert_registration_task(each))


async def fetch(store: Store, each: RegistrationTask) -> RegistrationTask | None:
    return await store.read(lambda: registration_task_table.registration_task(each.scope, each.task_id))


async def take(store: Store, owner: str, *, at: timedelta = timedelta()) -> RegistrationTask | None:
    now = CREATED_AT + at
    return await store.write(
        lambda: registration_task_table.take_registration_task(owner, now, now + timedelta(seconds=15))
    )


async def listed(store: Store, status: TaskStatus | None = None, request: PageRequest = NEWEST) -> list[str]:
    found = await store.read(lambda: registration_task_table.registration_tasks(SCOPE, status, request))
    return [entry.task_id for entry in found]


@pytest.mark.parametrize("number", [1, 2])
async def test_a_task_comes_back_as_it_was_stored_and_changed(store: Store, number: int) -> None:
    before = task(number)
    assert await insert(store, before)
    assert await fetch(store, before) == before
    assert await fetch(store, replace(before, scope=OTHER_SCOPE)) is None
    after = replace(
        before, status=TaskStatus.FAILED, message="broken", modified_at=LATER, progress=Progress(7, 8, 9, 10, 11, 12)
    )
    await store.write(lambda: registration_task_table.update_registration_task(after))
    assert await fetch(store, before) == after
    locked = await store.write(lambda: registration_task_table.registration_task_for_update(SCOPE, before.task_id))
    assert locked == after


async def test_of_many_tasks_that_begin_at_once_one_runs(store: Store) -> None:
    assert sorted(await asyncio.gather(*(insert(store, task(number)) for number in range(8)))) == [False] * 7 + [True]
    assert await insert(store, task(9, scope=OTHER_SCOPE))
    assert not await insert(store, task(10))
    assert await insert(store, task(11, TaskStatus.COMPLETED))


async def test_tasks_are_listed_by_status_newest_first(store: Store) -> None:
    for number in range(1, 4):
        await insert(store, task(number, TaskStatus.COMPLETED))
    await insert(store, task(4, TaskStatus.CANCELLED))
    assert await listed(store) == ["task-4", "task-3", "task-2", "task-1"]
    assert await listed(store, TaskStatus.COMPLETED) == ["task-3", "task-2", "task-1"]
    (entry,) = await store.read(
        lambda: registration_task_table.registration_tasks(SCOPE, None, PageRequest(1, None, ascending=False))
    )
    after = PageRequest(2, PageKey(entry.position), ascending=False)
    assert await listed(store, None, after) == ["task-3", "task-2"]
    assert await listed(store, TaskStatus.COMPLETED, after) == ["task-3", "task-2"]


async def test_of_many_who_want_a_task_one_gets_it_until_its_lease_ends(store: Store) -> None:
    await insert(store, task())
    assert await store.read(lambda: registration_task_table.has_free_registration_task(CREATED_AT))
    taken = await asyncio.gather(*(take(store, f"owner-{number}") for number in range(8)))
    assert sorted(taken, key=bool) == [None] * 7 + [task()]
    assert not await store.read(lambda: registration_task_table.has_free_registration_task(LATER))
    assert await take(store, "late", at=timedelta(seconds=15)) is None
    assert await take(store, "later", at=timedelta(seconds=16)) == task()


async def test_two_tasks_are_given_to_two(store: Store) -> None:
    await insert(store, task(1))
    await insert(store, task(2, scope=OTHER_SCOPE))
    taken = [each for each in await asyncio.gather(*(take(store, str(n)) for n in range(6))) if each is not None]
    while len(taken) < 2:
        again = await take(store, "again")
        assert again is not None
        taken.append(again)
    assert {each.scope for each in taken} == {SCOPE, OTHER_SCOPE}
    assert await take(store, "nobody") is None


async def test_a_lease_is_extended_and_ended_by_its_owner_alone(store: Store) -> None:
    await insert(store, task())
    await take(store, "owner")
    until = LATER + timedelta(seconds=15)
    assert await store.write(lambda: registration_task_table.own_registration_task(task(), "owner", until))
    assert not await store.write(lambda: registration_task_table.own_registration_task(task(), "other", until))
    assert await store.write(lambda: registration_task_table.owns_registration_task(task(), "owner"))
    assert not await store.write(lambda: registration_task_table.owns_registration_task(task(), "other"))
    assert not await store.read(lambda: registration_task_table.has_free_registration_task(LATER))


async def test_an_outcome_is_known_once_until_it_is_reported(store: Store) -> None:
    outcomes = [LineOutcome(2, False, '{"ü":1}'), LineOutcome(1, True, "{}"), LineOutcome(2**40, True, "{}")]
    for each in (task(), task(scope=OTHER_SCOPE)):
        for outcome in outcomes:
            assert await store.write(lambda o=outcome, t=each: registration_task_table.insert_outcome(t, o))  # type: ignore[misc]  # defaults bind the loops' values
    assert not await store.write(lambda: registration_task_table.insert_outcome(task(), LineOutcome(1, False, "other")))
    expected = (outcomes[1], outcomes[0], outcomes[2])
    assert await store.read(lambda: registration_task_table.outcomes(task())) == expected
    await store.write(lambda: registration_task_table.delete_outcomes(task()))
    assert await store.read(lambda: registration_task_table.outcomes(task())) == ()
    assert await store.read(lambda: registration_task_table.outcomes(task(scope=OTHER_SCOPE))) == expected


async def test_old_tasks_are_those_that_run_no_more(store: Store) -> None:
    await insert(store, task(1))
    for number in (3, 2, 9):
        await insert(store, task(number, TaskStatus.COMPLETED))
    before = CREATED_AT + timedelta(seconds=9)
    old = await store.read(lambda: registration_task_table.old_registration_tasks(before, 10))
    assert [each.task_id for each in old] == ["task-2", "task-3"]
    assert len(await store.read(lambda: registration_task_table.old_registration_tasks(before, 1))) == 1
    assert await store.write(lambda: registration_task_table.delete_registration_task(old[0]))
    assert not await store.write(lambda: registration_task_table.delete_registration_task(old[0]))


async def test_of_several_processes_one_carries_out_a_task(store: Store, tmp_path: Path) -> None:
    numbers = iter(range(1000))
    authority = structs.replace(
        new_authority(), store=store, files=Buckets(tmp_path), new_generation_id=lambda: f"id-{next(numbers)}"
    )
    write_input(tmp_path, [device(number) for number in range(60)])
    begun = await asyncio.gather(
        *(bulk.start(authority, OPERATOR, TEMPLATE, BUCKET, KEY, ROLE_ARN) for _ in range(4)), return_exceptions=True
    )
    (started,) = [each for each in begun if isinstance(each, RegistrationTask)]
    assert sum(isinstance(each, TaskExists) for each in begun) == 3
    runners = [BulkRunner(authority, f"owner-{number}") for number in range(4)]
    assert sorted(await asyncio.gather(*(each.work() for each in runners))) == [False] * 3 + [True]
    done, _ = await bulk.describe(authority, OPERATOR, started.task_id)
    assert (done.status, done.progress.successes, done.progress.failures) == (TaskStatus.COMPLETED, 60, 0)
    page = await store.read(lambda: audit_table.audit_page(OPERATOR.scope, PageRequest(1000, None, ascending=False)))
    assert sum(listed.item.action == "RegisterThing" for listed in page) == 60
    lines = [each["lineNumber"] for each in report(tmp_path, started.task_id, ReportType.RESULTS)]
    assert lines == list(range(1, 61))
