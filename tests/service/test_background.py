"""The work that the service does by itself goes on, whatever happens to it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, new_authority
from tests.support.registration.bulk import BUCKET, KEY, TEMPLATE, device, write_input
from tests.support.registration.fleet import OPERATOR, waiting_certificate
from tests.support.registration.provisioning import ROLE_ARN
from tests.support.services.recorded_log import RecordedLog

from thingmint.core.provisioning.registration_task import TaskStatus
from thingmint.data_directory.buckets import Buckets
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.provisioning import bulk, bulk_runner
from thingmint.registration.provisioning.bulk_runner import BulkRunner
from thingmint.registration.provisioning.sweep import sweep
from thingmint.service.background import BackgroundWork


def works_of(authority: RegistrationAuthority) -> list[Callable[[], Awaitable[None]]]:
    """Return what a node does with its registry."""
    return [BulkRunner(authority, "process").run, partial(sweep, authority)]


async def test_tasks_are_carried_out_and_what_has_ended_is_swept(tmp_path: Path) -> None:
    store, clock, log = MemoryStore(), SettableClock(NOW), RecordedLog()
    authority = replace(new_authority(store), clock=clock, files=Buckets(tmp_path))
    await waiting_certificate(authority)
    clock.at = NOW + timedelta(hours=2)
    write_input(tmp_path, [device(1)])
    task = await bulk.start(authority, OPERATOR, TEMPLATE, BUCKET, KEY, ROLE_ARN)
    async with BackgroundWork(works_of(authority), log):
        while True:
            done, _ = await bulk.describe(authority, OPERATOR, task.task_id)
            if done.status is TaskStatus.COMPLETED and not store.tables.certificates:
                break
            await asyncio.sleep(0)
    assert not log.lines


async def test_work_that_fails_is_logged_by_its_type_and_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> object:
        raise ZeroDivisionError("secret")

    store, log = MemoryStore(), RecordedLog()
    numbers = iter(range(100))
    authority = replace(new_authority(store), files=Buckets(tmp_path), new_generation_id=lambda: f"id-{next(numbers)}")
    write_input(tmp_path, [device(1)])
    with monkeypatch.context() as patch:
        patch.setattr(bulk_runner, "prepared_run", broken)
        await bulk.start(authority, OPERATOR, TEMPLATE, BUCKET, KEY, ROLE_ARN)
        async with BackgroundWork(works_of(authority), log, pause_seconds=0):
            while True:
                if log.lines:
                    break
                await asyncio.sleep(0)
            patch.undo()
            task = await bulk.start(authority, OPERATOR, TEMPLATE, BUCKET, KEY, ROLE_ARN)
            while True:
                done, _ = await bulk.describe(authority, OPERATOR, task.task_id)
                if done.status is TaskStatus.COMPLETED:
                    break
                await asyncio.sleep(0)
    assert log.lines == [("error", "background work failed", {"cause": "ZeroDivisionError"})]
