"""Bulk registration: begun, watched, stopped, forgotten; and carried out once, whatever crashes in between."""

import asyncio
import itertools
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import ACCOUNT, NOW, caller_with, new_authority
from tests.support.registration.bulk import BUCKET, KEY, TEMPLATE, Crash, MortalStore, device, report, write_input
from tests.support.registration.provisioning import ROLE_ARN

from thingmint.core.errors import InvalidRequest, ResourceNotFound, ServiceUnavailable, TaskExists
from thingmint.core.identifiers import AccountId, Region
from thingmint.core.paging import PageRequest
from thingmint.core.provisioning.registration_task import RUNNING, RegistrationTask, ReportType, TaskBroken, TaskStatus
from thingmint.data_directory.buckets import Buckets, NoBuckets
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import bulk, bulk_runner
from thingmint.registration.provisioning.bulk_runner import LEASE, BulkRunner

CALLER = caller_with()
ELSEWHERE = caller_with(region=Region("eu-west-2"))
RESULTS, ERRORS = ReportType.RESULTS, ReportType.ERRORS
NEWEST = PageRequest(10, None, ascending=False)


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock(NOW)


@pytest.fixture
def authority(store: MemoryStore, clock: SettableClock, tmp_path: Path) -> RegistrationAuthority:
    numbers = iter(range(10_000))
    return replace(
        new_authority(store), clock=clock, files=Buckets(tmp_path), new_generation_id=lambda: f"id-{next(numbers)}"
    )


async def started(authority: RegistrationAuthority, template: str = TEMPLATE) -> RegistrationTask:
    return await bulk.start(authority, CALLER, template, BUCKET, KEY, ROLE_ARN)


async def described(authority: RegistrationAuthority, task: RegistrationTask) -> RegistrationTask:
    return (await bulk.describe(authority, CALLER, task.task_id))[0]


async def ended(authority: RegistrationAuthority, task: RegistrationTask) -> None:
    """Return when the task, which another coroutine carries out, has come to its end."""
    while True:
        if (await described(authority, task)).status not in RUNNING:
            return
        await asyncio.sleep(0)


def runner(authority: RegistrationAuthority, owner: str = "this process") -> BulkRunner:
    return BulkRunner(authority, owner, poll_seconds=0.001)


def things(store: MemoryStore) -> list[str]:
    return sorted(name for (name,) in store.tables.rows("thing", "name"))


async def test_a_file_of_devices_is_registered_and_reported(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1), "", "garbage", device(2), device(1) | {"Serial": "other"}])
    task = await started(authority)
    assert await runner(authority).work()
    done = await described(authority, task)
    assert (done.status, done.percentage) == (TaskStatus.COMPLETED, 100)
    assert (done.progress.successes, done.progress.failures, done.progress.lines) == (2, 2, 5)
    results = report(tmp_path, task.task_id, RESULTS)
    assert [each["lineNumber"] for each in results] == [1, 4]
    assert results[0]["response"]["resourceArns"]["thing"].endswith(":thing/sensor-1")
    errors = report(tmp_path, task.task_id, ERRORS)
    assert [(each["lineNumber"], each["errorMessage"]) for each in errors] == [
        (3, "line 3, column 1: the line is not JSON: a value is expected, not 'g'"),
        (5, "The thing sensor-1 exists already"),
    ]
    assert things(store) == ["sensor-1", "sensor-2"]
    assert not store.tables.rows("registration_outcome")
    assert not await runner(authority).work()


async def test_certificates_are_in_the_report(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path
) -> None:
    template = {
        "Parameters": {"CSR": {"Type": "String"}},
        "Resources": {
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateSigningRequest": {"Ref": "CSR"}},
            }
        },
    }
    write_input(tmp_path, [{"CSR": csr_pem("p-256")}, {"CSR": "garbage"}])
    task = await started(authority, json.dumps(template))
    await runner(authority).work()
    (result,) = report(tmp_path, task.task_id, RESULTS)
    assert result["response"]["certificatePem"].startswith("-----BEGIN CERTIFICATE-----\n")
    (certificate,) = store.tables.certificates
    assert result["response"]["resourceArns"] == {"certificate": certificate.arn}
    (error,) = report(tmp_path, task.task_id, ERRORS)
    assert "PEM" in error["errorMessage"]
    issued = next(entry for entry in store.tables.audit if entry.action == "CreateCertificateFromCsr")
    assert (issued.principal_arn, issued.request_id) == (CALLER.principal.arn, task.task_id)


async def test_an_empty_file_is_done_at_once(authority: RegistrationAuthority, tmp_path: Path) -> None:
    write_input(tmp_path, [])
    task = await started(authority)
    await runner(authority).work()
    assert (await described(authority, task)).status is TaskStatus.COMPLETED
    assert await bulk.reports(authority, CALLER, task.task_id, RESULTS) == ()


async def test_many_lines_are_registered_batch_by_batch(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_runner, "_BATCH", 3)
    write_input(tmp_path, [device(number) for number in range(10)])
    task = await started(authority)
    seen: list[int] = []

    class Watched(MortalStore):
        async def write(self, program: Any) -> Any:
            result = await super().write(program)
            seen.append((await described(authority, task)).percentage)
            return result

    await runner(replace(authority, store=Watched(store))).work()
    assert seen == sorted(seen)
    assert len(set(seen)) >= 4
    assert [each["lineNumber"] for each in report(tmp_path, task.task_id, RESULTS)] == list(range(1, 11))


async def test_outcomes_that_are_not_in_the_reports_yet_are_told(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1), device(2)])
    task = await started(authority)
    # The task is taken, and the first device registered.
    with pytest.raises(Crash):
        await runner(replace(authority, store=MortalStore(store, 2, after_commit=True))).work()
    stored, outcomes = await bulk.describe(authority, CALLER, task.task_id)
    assert (stored.progress.successes, [each.succeeded for each in outcomes]) == (0, [True])


@pytest.mark.parametrize("after_commit", [False, True])
async def test_a_task_goes_on_after_a_crash_at_any_write_and_registers_every_line_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, after_commit: bool
) -> None:
    """The invariant: each line has one outcome in the reports, and each device was registered by one transaction."""
    monkeypatch.setattr(bulk_runner, "_BATCH", 3)
    lines: list[Mapping[str, str] | str] = [device(1), device(2), "garbage", "", device(3), device(4), "{}", device(5)]
    crashes, numbers = 0, itertools.count()

    def next_id() -> str:
        return f"id-{next(numbers)}"

    for dies_at in range(1, 40):
        root = tmp_path / str(dies_at)
        write_input(root, lines)
        store, clock = MemoryStore(), SettableClock(NOW)
        authority = replace(new_authority(store), clock=clock, files=Buckets(root), new_generation_id=next_id)
        task = await started(authority)
        mortal = MortalStore(store, dies_at, after_commit=after_commit)
        try:
            await runner(replace(authority, store=mortal), "first").work()
        except Crash:
            crashes += 1
        clock.at = NOW + LEASE + timedelta(seconds=1)
        await runner(authority, "second").work()
        done = await described(authority, task)
        assert done.status is TaskStatus.COMPLETED
        assert (done.progress.successes, done.progress.failures) == (5, 2)
        assert [each["lineNumber"] for each in report(root, task.task_id, RESULTS)] == [1, 2, 5, 6, 8]
        assert [each["lineNumber"] for each in report(root, task.task_id, ERRORS)] == [3, 7]
        assert things(store) == [f"sensor-{number}" for number in range(1, 6)]
        assert sum(entry.action == "RegisterThing" for entry in store.tables.audit) == 5
        if not mortal.is_dead:
            break
    assert crashes >= 10


async def test_a_task_of_another_process_is_left_alone_until_its_lease_has_ended(
    authority: RegistrationAuthority, store: MemoryStore, clock: SettableClock, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1)])
    task = await started(authority)
    with pytest.raises(Crash):
        await runner(replace(authority, store=MortalStore(store, 2)), "first").work()
    clock.at = NOW + LEASE
    assert not await runner(authority, "second").work()
    clock.at = NOW + LEASE + timedelta(microseconds=1)
    assert await runner(authority, "second").work()
    assert (await described(authority, task)).status is TaskStatus.COMPLETED


@pytest.mark.parametrize("write", range(2, 8))
async def test_a_process_that_has_lost_its_task_writes_nothing_more(
    authority: RegistrationAuthority, store: MemoryStore, clock: SettableClock, tmp_path: Path, write: int
) -> None:
    """The invariant: after another process has taken the task, everything there is comes from that one, once."""
    write_input(tmp_path, [device(1), "garbage", device(2)])
    task = await started(authority)

    class Overtaken(MortalStore):
        writes = 0

        async def write(self, program: Any) -> Any:
            self.writes += 1
            if self.writes == write:
                clock.at = NOW + LEASE + timedelta(seconds=1)
                assert await runner(authority, "second").work()
            return await super().write(program)

    await runner(replace(authority, store=Overtaken(store)), "first").work()
    done = await described(authority, task)
    assert (done.status, done.progress.successes, done.progress.failures) == (TaskStatus.COMPLETED, 2, 1)
    assert [each["lineNumber"] for each in report(tmp_path, task.task_id, RESULTS)] == [1, 3]
    assert [each["lineNumber"] for each in report(tmp_path, task.task_id, ERRORS)] == [2]
    assert sum(entry.action == "RegisterThing" for entry in store.tables.audit) == 2


async def test_a_task_is_stopped_after_the_lines_that_are_under_way(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_runner, "_BATCH", 2)
    write_input(tmp_path, [device(number) for number in range(10)])
    task = await started(authority)

    class Stopped(MortalStore):
        writes = 0

        async def write(self, program: Any) -> Any:
            self.writes += 1
            if self.writes == 2:
                await bulk.stop(authority, CALLER, task.task_id)
                await bulk.stop(authority, CALLER, task.task_id)
            return await super().write(program)

    await runner(replace(authority, store=Stopped(store))).work()
    done = await described(authority, task)
    assert (done.status, done.progress.successes, done.percentage) == (TaskStatus.CANCELLED, 2, 20)
    assert len(report(tmp_path, task.task_id, RESULTS)) == len(things(store)) == 2
    assert sum(entry.action == "StopThingRegistrationTask" for entry in store.tables.audit) == 1
    assert not await runner(authority).work()


async def test_a_task_that_is_stopped_while_nobody_has_it_reports_what_was_done(
    authority: RegistrationAuthority, store: MemoryStore, clock: SettableClock, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1), device(2)])
    task = await started(authority)
    with pytest.raises(Crash):
        await runner(replace(authority, store=MortalStore(store, 2, after_commit=True)), "first").work()
    await bulk.stop(authority, CALLER, task.task_id)
    clock.at = NOW + LEASE + timedelta(seconds=1)
    await runner(authority, "second").work()
    done = await described(authority, task)
    assert (done.status, done.progress.successes, done.percentage) == (TaskStatus.CANCELLED, 1, 0)
    assert len(report(tmp_path, task.task_id, RESULTS)) == 1


async def test_a_task_whose_input_changes_fails_and_keeps_what_was_done(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_runner, "_BATCH", 1)
    write_input(tmp_path, [device(1), device(2)])
    task = await started(authority)

    class Changed(MortalStore):
        writes = 0

        async def write(self, program: Any) -> Any:
            self.writes += 1
            if self.writes == 4:
                write_input(tmp_path, [device(3)])
            return await super().write(program)

    assert await runner(replace(authority, store=Changed(store))).work()
    done = await described(authority, task)
    assert (done.status, done.message) == (TaskStatus.FAILED, "The input file was changed after the task had begun")
    assert things(store) == ["sensor-1"]
    assert done.progress.successes == 1


async def test_a_report_that_cannot_be_written_fails_the_task_and_its_lines_are_counted(
    authority: RegistrationAuthority, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1), "garbage"])
    task = await started(authority)
    (tmp_path / "registration-reports").rmdir()
    (tmp_path / "registration-reports").write_text("a file where the folder should be")
    await runner(authority).work()
    done = await described(authority, task)
    assert done.status is TaskStatus.FAILED
    assert "A report cannot be written" in str(done.message)
    assert (done.progress.successes, done.progress.failures) == (1, 1)


async def test_a_mistake_of_this_program_fails_the_task_without_its_text(
    authority: RegistrationAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> object:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(bulk_runner, "prepared_run", broken)
    write_input(tmp_path, [device(1)])
    task = await started(authority)
    with pytest.raises(ZeroDivisionError):
        await runner(authority).work()
    done = await described(authority, task)
    assert (done.status, done.message) == (TaskStatus.FAILED, "An internal failure occurred")


async def test_a_task_waits_while_the_database_is_away(
    authority: RegistrationAuthority, store: MemoryStore, clock: SettableClock, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1)])
    task = await started(authority)
    back = asyncio.Event()

    class Away(MortalStore):
        writes = 0

        async def write(self, program: Any) -> Any:
            self.writes += 1
            if self.writes == 2:
                clock.at = NOW + LEASE + timedelta(seconds=1)
                back.set()
                raise ServiceUnavailable
            return await super().write(program)

    running = asyncio.create_task(runner(replace(authority, store=Away(store))).run())
    await back.wait()
    await ended(authority, task)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    done = await described(authority, task)
    assert (done.status, done.progress.successes, done.progress.failures) == (TaskStatus.COMPLETED, 1, 0)


async def test_a_process_that_is_stopped_lets_go_of_its_task(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1)])
    task = await started(authority)
    reached = asyncio.Event()

    class Waiting(Buckets):
        async def lines(self, *arguments: object) -> Any:
            reached.set()
            await asyncio.get_running_loop().create_future()

    running = asyncio.create_task(runner(replace(authority, files=Waiting(tmp_path)), "first").run())
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await runner(authority, "second").work()
    assert (await described(authority, task)).status is TaskStatus.COMPLETED


class Lost(MortalStore):
    """A store whose database is away from a moment on."""

    is_lost = False

    async def write(self, program: Any) -> Any:
        """Run the program while the database is there."""
        if self.is_lost:
            raise ServiceUnavailable
        return await super().write(program)


async def test_a_process_that_is_stopped_while_the_database_is_away_ends(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1)])
    await started(authority)
    reached, lost = asyncio.Event(), Lost(store)

    class Waiting(Buckets):
        async def lines(self, *arguments: object) -> Any:
            lost.is_lost = True
            reached.set()
            await asyncio.get_running_loop().create_future()

    running = asyncio.create_task(runner(replace(authority, store=lost, files=Waiting(tmp_path))).run())
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_mistake_of_this_program_is_told_as_such_while_the_database_is_away(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Lost(store)

    def broken(*arguments: object) -> object:
        lost.is_lost = True
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(bulk_runner, "prepared_run", broken)
    write_input(tmp_path, [device(1)])
    await started(authority)
    with pytest.raises(ZeroDivisionError):
        await runner(replace(authority, store=lost)).work()


async def test_a_runner_waits_for_a_task(authority: RegistrationAuthority, tmp_path: Path) -> None:
    running = asyncio.create_task(runner(authority).run())
    await asyncio.sleep(0)
    write_input(tmp_path, [device(1)])
    task = await started(authority)
    await ended(authority, task)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_one_task_runs_in_an_account_and_region(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1)])
    first = await started(authority)
    before = store.tables.dump()
    with pytest.raises(TaskExists):
        await started(authority)
    assert store.tables.dump() == before
    await bulk.start(authority, ELSEWHERE, TEMPLATE, BUCKET, KEY, ROLE_ARN)
    await bulk.stop(authority, CALLER, first.task_id)
    with pytest.raises(TaskExists):
        await started(authority)
    while await runner(authority).work():
        continue
    second = await started(authority)
    page = await bulk.list_tasks(authority, CALLER, None, NEWEST)
    assert [entry.task_id for entry in page.items] == [second.task_id, first.task_id]
    cancelled = await bulk.list_tasks(authority, CALLER, TaskStatus.CANCELLED, NEWEST)
    assert [entry.task_id for entry in cancelled.items] == [first.task_id]


async def test_no_task_waits_for_the_end_of_another_accounts(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(number) for number in range(200)])
    long = await started(authority)
    assert await runner(authority, "elsewhere").work()
    assert (await described(authority, long)).status is TaskStatus.COMPLETED

    write_input(tmp_path, [device(number) for number in range(200, 400)])
    long = await started(authority)
    (tmp_path / ACCOUNT / BUCKET / "short.json").write_text(json.dumps(device(1000)))
    short = await bulk.start(authority, ELSEWHERE, TEMPLATE, BUCKET, "short.json", ROLE_ARN)
    turns = 0
    while (await bulk.describe(authority, ELSEWHERE, short.task_id))[0].status in RUNNING:
        assert await runner(authority).work()
        turns += 1
    assert turns == 2
    assert (await described(authority, long)).status is TaskStatus.IN_PROGRESS
    assert await runner(authority).work()
    done = await described(authority, long)
    assert (done.status, done.progress.successes) == (TaskStatus.COMPLETED, 200)
    assert len(report(tmp_path, long.task_id, RESULTS)) == 200


@pytest.mark.parametrize(
    ("template", "key"), [("{}", KEY), (TEMPLATE, "missing.json"), (TEMPLATE, "../secret"), ("garbage", KEY)]
)
async def test_what_cannot_be_registered_is_not_begun(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path, template: str, key: str
) -> None:
    write_input(tmp_path, [device(1)])
    before = store.tables.dump()
    with pytest.raises(InvalidRequest):
        await bulk.start(authority, CALLER, template, BUCKET, key, ROLE_ARN)
    assert store.tables.dump() == before


async def test_what_does_not_exist_is_not_found(authority: RegistrationAuthority, tmp_path: Path) -> None:
    write_input(tmp_path, [device(1)])
    task = await started(authority)
    for caller, task_id in ((CALLER, "missing"), (ELSEWHERE, task.task_id)):
        with pytest.raises(ResourceNotFound):
            await bulk.describe(authority, caller, task_id)
        with pytest.raises(ResourceNotFound):
            await bulk.stop(authority, caller, task_id)
        with pytest.raises(InvalidRequest, match="does not exist"):
            await bulk.reports(authority, caller, task_id, ERRORS)


async def test_a_task_that_has_ended_is_not_stopped(authority: RegistrationAuthority, tmp_path: Path) -> None:
    write_input(tmp_path, [device(1)])
    task = await started(authority)
    await runner(authority).work()
    with pytest.raises(InvalidRequest, match="is Completed"):
        await bulk.stop(authority, CALLER, task.task_id)


async def test_tasks_are_forgotten_after_thirty_days_with_their_reports(
    authority: RegistrationAuthority, clock: SettableClock, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1)])
    old = await started(authority)
    await runner(authority).work()
    (location,) = await bulk.reports(authority, CALLER, old.task_id, RESULTS)
    assert location == (tmp_path / "registration-reports" / f"{old.task_id}-results.json").as_uri()
    running = await started(authority)
    clock.at = NOW + timedelta(days=30)
    assert await bulk.sweep_tasks(authority, 10) == 0
    clock.at += timedelta(seconds=1)
    assert await bulk.sweep_tasks(authority, 10) == 1
    assert report(tmp_path, old.task_id, RESULTS) == []
    page = await bulk.list_tasks(authority, CALLER, None, NEWEST)
    assert [entry.task_id for entry in page.items] == [running.task_id]


async def test_two_runners_of_one_name_register_each_line_once(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path
) -> None:
    """The invariant: whatever two processes believe of themselves, a line has one outcome."""
    write_input(tmp_path, [device(number) for number in range(5)])
    task = await started(authority)
    twins = [BulkRunner(authority, "twin", lease=timedelta(seconds=-1)) for _ in range(2)]
    assert await asyncio.gather(*(twin.work() for twin in twins)) == [True, True]
    while await twins[0].work():
        continue
    assert (await described(authority, task)).progress.successes == 5
    assert [each["lineNumber"] for each in report(tmp_path, task.task_id, RESULTS)] == [1, 2, 3, 4, 5]
    assert sum(entry.action == "RegisterThing" for entry in store.tables.audit) == 5


async def test_a_process_that_has_lost_its_task_does_not_fail_it(
    authority: RegistrationAuthority, clock: SettableClock, tmp_path: Path
) -> None:
    class Overtaken(Buckets):
        async def lines(self, *arguments: object) -> Any:
            clock.at = NOW + LEASE + timedelta(seconds=1)
            assert await runner(authority, "second").work()
            raise TaskBroken("gone")

    write_input(tmp_path, [device(1)])
    task = await started(authority)
    assert await runner(replace(authority, files=Overtaken(tmp_path)), "first").work()
    assert (await described(authority, task)).status is TaskStatus.COMPLETED


async def test_a_node_without_a_directory_takes_no_task(
    authority: RegistrationAuthority, clock: SettableClock, tmp_path: Path
) -> None:
    without = replace(authority, files=NoBuckets())
    with pytest.raises(InvalidRequest, match="registration_dir"):
        await started(without)
    write_input(tmp_path, [device(1)])
    task = await started(authority)
    assert not await runner(without, "without").work()
    assert not await runner(replace(authority, files=Buckets(tmp_path / "not mounted")), "unmounted").work()
    assert await runner(authority, "with").work()
    assert (await described(authority, task)).status is TaskStatus.COMPLETED
    # Nor does it forget tasks whose reports it cannot delete.
    clock.at = NOW + timedelta(days=31)
    assert await bulk.sweep_tasks(without, 10) == 0
    assert report(tmp_path, task.task_id, RESULTS)
    assert await bulk.sweep_tasks(authority, 10) == 1
    assert not report(tmp_path, task.task_id, RESULTS)


async def test_a_task_whose_directory_goes_away_under_way_is_left_to_others(
    authority: RegistrationAuthority, clock: SettableClock, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1)])
    task = await started(authority)

    class Unmounted(Buckets):
        async def lines(self, *arguments: object) -> Any:
            (tmp_path / ACCOUNT).rename(tmp_path / "away")
            return await super().lines(*arguments)  # type: ignore[arg-type]  # passed through

    with pytest.raises(ServiceUnavailable):
        await runner(replace(authority, files=Unmounted(tmp_path)), "first").work()
    (tmp_path / "away").rename(tmp_path / ACCOUNT)
    clock.at = NOW + LEASE + timedelta(seconds=1)
    assert await runner(authority, "second").work()
    assert (await described(authority, task)).status is TaskStatus.COMPLETED


async def test_an_account_registers_from_its_own_buckets_only(authority: RegistrationAuthority, tmp_path: Path) -> None:
    write_input(tmp_path, [device(1)])
    stranger = caller_with(account=AccountId("222222222222"))
    with pytest.raises(InvalidRequest, match="There is no file"):
        await bulk.start(authority, stranger, TEMPLATE, BUCKET, KEY, ROLE_ARN)
    write_input(tmp_path, [device(2)], "222222222222")
    task = await bulk.start(authority, stranger, TEMPLATE, BUCKET, KEY, ROLE_ARN)
    assert await runner(authority).work()
    results = report(tmp_path, task.task_id, RESULTS)
    assert [each["response"]["resourceArns"]["thing"] for each in results] == [
        "arn:aws:iot:eu-west-1:222222222222:thing/sensor-2"
    ]


async def test_a_line_whose_outcome_is_known_meanwhile_is_undone(
    authority: RegistrationAuthority, store: MemoryStore, tmp_path: Path
) -> None:
    write_input(tmp_path, [device(1)])
    task = await started(authority)

    class Raced(MortalStore):
        writes = 0

        async def write(self, program: Any) -> Any:
            self.writes += 1
            if self.writes == 2:
                key = (task.task_id, task.scope.account, task.scope.region)
                store.execute("INSERT INTO registration_outcome VALUES ($1, $2, $3, 1, 1, '{}')", *key)
            return await super().write(program)

    assert await runner(replace(authority, store=Raced(store))).work()
    assert things(store) == []
    assert (await described(authority, task)).status is TaskStatus.IN_PROGRESS
