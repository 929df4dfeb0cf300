"""What the SQLite store does on disks that fail: nothing is acknowledged, reads go on, and it heals by itself."""

import asyncio
import contextlib
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest
from tests.support.databases.faulty_disk import FaultyDisk
from tests.support.databases.stores import Timings, fetch, insert, page, sample_certificate

from thingmint.core.errors import ServiceUnavailable
from thingmint.storage.sqlite.store import SQLiteStore, open_sqlite


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
async def store(disk: FaultyDisk, tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = await open_sqlite(tmp_path / "faulty.sqlite", observe=Timings(), vfs=disk.name)
    yield opened
    await opened.close()


FAULTS = [
    pytest.param({"writes": apsw.FullError}, id="disk full"),
    pytest.param({"writes": apsw.IOError}, id="write fails"),
    pytest.param({"syncs": apsw.IOError}, id="sync fails"),
    pytest.param({"syncs": apsw.FullError}, id="full at sync"),
    pytest.param({"writes": apsw.ReadOnlyError}, id="disk became read-only"),
    pytest.param({"writes": apsw.CorruptError}, id="corrupt"),
]


@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_acknowledged_while_the_disk_fails_and_everything_heals(
    store: SQLiteStore, disk: FaultyDisk, fault: dict[str, type[apsw.Error]]
) -> None:
    kept = sample_certificate(0)
    await insert(store, kept)
    refused = [sample_certificate(number) for number in range(1, 21)]
    with disk.failing(**fault):
        for _ in range(2):
            results = await asyncio.gather(*(insert(store, one) for one in refused), return_exceptions=True)
            assert [type(result) for result in results] == [ServiceUnavailable] * 20
            assert await fetch(store, kept) == kept
        with pytest.raises(ServiceUnavailable):
            await store.check()
    assert disk.faults >= 3
    assert [await fetch(store, one) for one in refused] == [None] * 20
    await store.check()
    await asyncio.gather(*(insert(store, one) for one in refused))
    assert [await fetch(store, one) for one in refused] == refused


async def test_nothing_is_acknowledged_or_seen_while_the_disk_syncs_and_the_loop_goes_on(
    store: SQLiteStore, disk: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, pending = sample_certificate(0), sample_certificate(1)
    await insert(store, kept)
    loop, syncing, may_go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def sync_slowly() -> None:
        loop.call_soon_threadsafe(syncing.set)
        may_go_on.wait(30)

    monkeypatch.setattr(disk, "before_sync", sync_slowly)
    write = asyncio.create_task(insert(store, pending))
    await syncing.wait()
    seen = await fetch(store, kept), await fetch(store, pending)
    acknowledged = write.done()
    may_go_on.set()
    await write

    assert seen == (kept, None)
    assert not acknowledged
    assert await fetch(store, pending) == pending


async def test_each_waiter_of_a_failed_batch_gets_an_exception_of_its_own(store: SQLiteStore, disk: FaultyDisk) -> None:
    with disk.failing(syncs=apsw.IOError):
        results = await asyncio.gather(
            *(insert(store, sample_certificate(number)) for number in range(5)), return_exceptions=True
        )
    assert len({id(result) for result in results}) == 5
    assert all(isinstance(result, ServiceUnavailable) and result.__cause__ for result in results)


async def test_the_caller_is_told_nothing_of_the_disk(store: SQLiteStore, disk: FaultyDisk) -> None:
    with disk.failing(syncs=apsw.IOError), pytest.raises(ServiceUnavailable) as refused:
        await insert(store, sample_certificate(1))
    assert refused.value.message == ServiceUnavailable().message


async def test_close_ends_while_the_disk_fails(store: SQLiteStore, disk: FaultyDisk, tmp_path: Path) -> None:
    certificate = sample_certificate(1)
    await insert(store, certificate)
    with disk.failing(writes=apsw.FullError, syncs=apsw.IOError):
        await store.close()
    again = await open_sqlite(tmp_path / "faulty.sqlite", observe=Timings())
    assert await fetch(again, certificate) == certificate
    await again.close()


async def test_a_log_that_cannot_be_copied_loses_nothing(
    store: SQLiteStore, disk: FaultyDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every write is followed by a checkpoint, whose writes fail after the commit succeeded.
    monkeypatch.setattr("thingmint.storage.sqlite.writer_connection.FORCED_CHECKPOINT_PAGES", 1)
    certificates = [sample_certificate(number) for number in range(10)]

    real = disk.before_write
    writes = 0

    def fail_every_third() -> None:
        nonlocal writes
        writes += 1
        if writes % 3 == 0:
            raise apsw.FullError("the disk fails, as the test asked")
        real()

    monkeypatch.setattr(disk, "before_write", fail_every_third)
    acknowledged = []
    for certificate in certificates:
        with contextlib.suppress(ServiceUnavailable):
            await insert(store, certificate)
            acknowledged.append(certificate)
    monkeypatch.setattr(disk, "before_write", real)
    assert [await fetch(store, one) for one in acknowledged] == acknowledged
    assert len(await page(store, 100)) == len(acknowledged)
    await store.check()


async def test_a_database_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    path = tmp_path / "garbage.sqlite"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(ServiceUnavailable, match=r"garbage\.sqlite"):
        await open_sqlite(path, observe=Timings())


async def test_a_directory_that_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="cannot be opened"):
        await open_sqlite(tmp_path / "nowhere" / "a.sqlite", observe=Timings())


async def test_a_database_file_that_vanished_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "vanishing.sqlite"
    store = await open_sqlite(path, observe=Timings())
    path.unlink()
    with pytest.raises(ServiceUnavailable):
        await page(store, 1)
    with pytest.raises(ServiceUnavailable):
        await insert(store, sample_certificate(1))
    assert not path.exists()
    await store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 2 MiB."""
    where = tmp_path / "small"
    where.mkdir()
    mount = shutil.which("mount")
    made = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(where)], capture_output=True, check=False
    )
    if not made or made.returncode != 0:
        pytest.skip("this account may not mount a file system to fill")
    yield where
    subprocess.run(["umount", str(where)], check=True)


async def test_a_full_file_system_refuses_writes_serves_reads_and_heals(small_disk: Path) -> None:
    store = await open_sqlite(small_disk / "a.sqlite", observe=Timings())
    acknowledged = []
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1024 * 1024))
    refused = None
    for number in range(2000):
        certificate = sample_certificate(number)
        try:
            await insert(store, certificate)
        except ServiceUnavailable:
            refused = certificate
            break
        acknowledged.append(certificate)
    assert refused is not None
    assert acknowledged
    assert [await fetch(store, one) for one in acknowledged] == acknowledged
    ballast.unlink()
    await store.check()
    await insert(store, refused)
    assert [await fetch(store, one) for one in [*acknowledged, refused]] == [*acknowledged, refused]
    await store.close()
