"""Faults while the log grows: kill -9, a disk that fails, clocks that jump. It goes on with the same tree each time."""

import asyncio
import contextlib
import random
import sqlite3
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from tests.support.databases.faulty_disk import FaultyDisk
from tests.support.databases.log import append, log_on, root_in_order, sequenced, state_of, verified
from tests.support.databases.stores import CREATED_AT, Timings, sample_audit_entry
from tests.support.services.forked import run_thingmint
from tests.support.services.service import start_service

from thingmint.cli.settings import config_of
from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import certificate_arn
from thingmint.records.audit import append_audit
from thingmint.records.steps import Steps
from thingmint.registration.log.reading import head_of
from thingmint.registration.log.sequencing import sequence
from thingmint.service.opening import open_registry, registry_beside_service
from thingmint.service.public.transparency import open_log_of
from thingmint.storage import SQLITE_FILE_NAME
from thingmint.storage.sqlite.store import open_sqlite

ENTRIES = 6_000


def size_of(data_dir: Path) -> int:
    with contextlib.closing(sqlite3.connect(data_dir / SQLITE_FILE_NAME)) as database:
        row = database.execute("SELECT size FROM log_state").fetchone()
    return 0 if row is None else int(row[0])


@pytest.mark.soak
def test_kill_after_kill_the_tree_is_that_of_the_entries_in_their_order(tmp_path: Path) -> None:
    data_dir, chance = tmp_path / "data", random.Random(1)

    async def begin() -> None:
        async with open_registry(config_of({"data_dir": str(data_dir)})) as registry:
            for first in range(0, ENTRIES, 500):
                await append(registry.store, range(first, first + 500))

    asyncio.run(begin())
    kills = 0
    while size_of(data_dir) < ENTRIES:
        before, service = size_of(data_dir), start_service(data_dir, key_reserve=0)
        # What is looked at is the size, not the time; the service may be anywhere in a pass.
        while size_of(data_dir) < min(before + chance.randrange(1, 2500), ENTRIES):
            time.sleep(0.002)
        service.kill()
        kills += 1
    assert kills > 1

    async def compare() -> None:
        async with registry_beside_service(config_of({"data_dir": str(data_dir)})) as registry:
            log = await open_log_of(registry)
            state = await sequenced(registry.store, log)
            assert head_of(state).root == await root_in_order(registry.store, log, state.size)

    asyncio.run(compare())
    done = run_thingmint("log", "verify", "--data-dir", str(data_dir))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "fault",
    [{"writes": apsw.FullError}, {"writes": apsw.IOError}, {"syncs": apsw.IOError}],
    ids=["full", "write", "sync"],
)
async def test_a_disk_that_fails_while_a_tile_is_written_changes_nothing(
    tmp_path: Path, fault: dict[str, type[apsw.Error]]
) -> None:
    disk = FaultyDisk()
    store = await open_sqlite(tmp_path / "faulty.sqlite", observe=Timings(), vfs=disk.name)
    log = await log_on(store)
    await append(store, range(300))
    before = await sequenced(store, log)
    await append(store, range(300, 700))
    with disk.failing(**fault):
        for _ in range(3):
            with pytest.raises(ServiceUnavailable):
                await store.write(lambda: sequence(log))
    assert disk.faults
    assert await state_of(store) == before
    state = await sequenced(store, log)
    assert head_of(state).root == await root_in_order(store, log, 700)
    assert (await verified(store, log, earlier=[before.checkpoint])).findings == []
    await store.close()


async def test_clocks_that_jump_change_neither_the_order_nor_the_tree(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "jumping.sqlite", observe=Timings())
    log = await log_on(store)
    jumps = (timedelta(days=4000), timedelta(days=-9000), timedelta(0), timedelta(days=20_000))

    def program() -> Steps[None]:
        for number, jump in enumerate(jumps * 100):
            arn = certificate_arn(sample_audit_entry(0).scope, f"{number:064x}")  # type: ignore[arg-type]  # an id's form
            yield from append_audit(replace(sample_audit_entry(number), at=CREATED_AT + jump, resource=arn))

    await store.write(program)
    state = await sequenced(store, log)
    assert head_of(state).root == await root_in_order(store, log, 400)
    assert (await verified(store, log)).findings == []
    await store.close()
