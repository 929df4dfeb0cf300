"""What is true of the SQLite store alone: files, the log, other processes, kills, bounds."""

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
from tests.support.databases.stores import SCOPE, Timings, fetch, insert, page, sample_certificate

from thingmint.core.errors import ResourceNotFound, ServiceUnavailable, Throttled
from thingmint.records.certificates import certificates
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.policies.policy_attachments import EFFECTIVE
from thingmint.records.statement import row_of
from thingmint.records.steps import Program, Steps
from thingmint.storage import SQLITE_FILE_NAME, DatabaseTooNew, DatabaseTooOld, open_store, schema
from thingmint.storage.dialect import SQLITE
from thingmint.storage.schema import migrations
from thingmint.storage.sqlite import group_commit, writer_connection
from thingmint.storage.sqlite.connection import connect, create
from thingmint.storage.sqlite.copied_tables import migrations_to
from thingmint.storage.sqlite.store import SQLiteStore, open_sqlite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    opened = await open_sqlite(path, observe=Timings())
    yield opened
    await opened.close()


async def test_only_the_owner_may_read_the_files(store: SQLiteStore, path: Path) -> None:
    await insert(store, sample_certificate(1))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {path.name: 0o600, f"{path.name}-wal": 0o600, f"{path.name}-shm": 0o600}


async def test_open_store_keeps_its_file_in_the_data_directory(tmp_path: Path) -> None:
    store = await open_store(None, tmp_path, observe=Timings())
    await store.close()
    assert os.listdir(tmp_path) == [SQLITE_FILE_NAME]  # noqa: PTH208  a blocking Path is refused in coroutines


async def test_what_was_stored_is_there_after_opening_again(path: Path) -> None:
    certificate = sample_certificate(1)
    for _ in range(2):
        store = await open_sqlite(path, observe=Timings())
        if await fetch(store, certificate) is None:
            await insert(store, certificate)
        await store.close()
    store = await open_sqlite(path, observe=Timings())
    assert await fetch(store, certificate) == certificate
    await store.close()


async def test_a_database_of_a_later_version_is_refused(path: Path) -> None:
    await (await open_sqlite(path, observe=Timings())).close()
    newest = migrations()[-1].version
    connection = apsw.Connection(str(path))
    connection.execute(schema.INSERT_SCHEMA_VERSION, (newest + 1, "later"))
    connection.close()
    with pytest.raises(DatabaseTooNew, match=f"schema version {newest + 1}"):
        await open_sqlite(path, observe=Timings())


async def test_only_a_start_migrates_a_database(path: Path) -> None:
    first, newest = migrations_to(11), migrations()[-1].version
    create(path, first, vfs=None)
    before = await asyncio.to_thread(path.read_bytes)
    with pytest.raises(DatabaseTooOld, match=f"schema version 11, this version of Thingmint needs {newest}"):
        await open_sqlite(path, observe=Timings(), may_migrate=False)
    assert await asyncio.to_thread(path.read_bytes) == before
    await (await open_sqlite(path, observe=Timings())).close()
    await (await open_sqlite(path, observe=Timings(), may_migrate=False)).close()


async def test_a_missing_or_foreign_database_is_not_made_by_a_command(path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="cannot be opened"):
        await open_sqlite(path, observe=Timings(), may_migrate=False)
    assert not await asyncio.to_thread(path.exists)
    apsw.Connection(str(path)).execute("CREATE TABLE something (value TEXT)")
    with pytest.raises(DatabaseTooOld, match="has no tables of Thingmint"):
        await open_sqlite(path, observe=Timings(), may_migrate=False)


async def test_a_migration_is_logged_but_not_the_creation(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    create(path, migrations_to(11), vfs=None)
    assert caplog.messages == []
    await (await open_sqlite(path, observe=Timings())).close()
    newest = migrations()[-1].version
    assert caplog.messages == [f"the database is migrated from schema version 11 to {newest}"]


@pytest.mark.parametrize("query", [certificates.SUMMARIES_NEWEST_FIRST, certificates.SUMMARIES_OLDEST_FIRST])
async def test_a_list_is_answered_from_its_index_alone(store: SQLiteStore, path: Path, query: str) -> None:
    connection = apsw.Connection(str(path))
    plan = connection.execute(f"EXPLAIN QUERY PLAN {SQLITE.translate(query)}", ("1", "2", 3, 4)).fetchall()
    connection.close()
    bound = "<" if "DESC" in query else ">"
    columns = f"region=? AND position{bound}?"
    searches = [step[3] for step in plan if str(step[3]).startswith(("SEARCH", "SCAN certificate"))]
    assert searches == [
        f"SEARCH certificate USING COVERING INDEX certificate_list (account=? AND {columns})",
        f"SEARCH certificate USING COVERING INDEX certificate_incoming (transfer_to=? AND {columns})",
    ]
    await store.check()


@pytest.mark.parametrize(
    "query", [certificates.CERTIFICATE, certificates.UPDATE_CERTIFICATE, certificates.DELETE_CERTIFICATE]
)
async def test_one_certificate_is_found_by_its_id(store: SQLiteStore, path: Path, query: str) -> None:
    connection = apsw.Connection(str(path))
    plan = connection.execute(f"EXPLAIN QUERY PLAN {query}", (None,) * query.count("$")).fetchall()
    connection.close()
    index = "sqlite_autoindex_certificate_1"
    assert [step[3] for step in plan] == [f"SEARCH certificate USING INDEX {index} (certificate_id=?)"]
    await store.check()


async def test_the_settings_that_durability_rests_on_are_set(store: SQLiteStore) -> None:
    await store.check()
    writer = store._writer._connection._connection
    assert writer is not None
    assert writer.pragma("journal_mode") == "wal"
    assert writer.pragma("synchronous") == 2
    assert writer.pragma("foreign_keys") == 1
    assert writer.pragma("mmap_size") == 0
    assert writer.pragma("fullfsync") == 1


async def test_over_the_bound_a_write_is_refused_at_once(path: Path) -> None:
    store = await open_sqlite(path, observe=Timings(), max_in_flight=3)
    tasks = [asyncio.create_task(insert(store, sample_certificate(number))) for number in range(5)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * 3 + [Throttled] * 2
    await insert(store, sample_certificate(9))
    await store.close()


async def test_a_busy_store_still_passes_its_check(path: Path) -> None:
    store = await open_sqlite(path, observe=Timings(), max_in_flight=0)
    with pytest.raises(Throttled):
        await insert(store, sample_certificate(1))
    await store.check()
    await store.close()


async def test_many_waiting_programs_share_a_commit(path: Path) -> None:
    timings = Timings()
    store = await open_sqlite(path, observe=timings)
    await asyncio.gather(*(insert(store, sample_certificate(number)) for number in range(600)))
    assert timings.kinds.count("write") == 600
    assert timings.kinds.count("commit") < 60
    await store.close()


async def test_the_log_stays_bounded_under_load_that_never_pauses(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_connection, "FORCED_CHECKPOINT_PAGES", 100)
    store = await open_sqlite(path, observe=Timings())
    log = path.with_name(f"{path.name}-wal")
    largest = 0
    for start in range(0, 3000, 50):
        writes = [insert(store, sample_certificate(number)) for number in range(start, start + 50)]
        reads = [page(store, 20) for _ in range(20)]
        await asyncio.gather(*writes, *reads)
        largest = max(largest, log.stat().st_size)
    # The bound, and what one batch may add before it is looked at again.
    assert largest < (100 + 300) * 4120
    assert path.stat().st_size > 2500 * 870  # noqa: ASYNC240  a look at one file is no wait
    await store.close()


async def test_an_idle_writer_copies_the_log(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_connection, "IDLE_CHECKPOINT_PAGES", 10)
    monkeypatch.setattr(group_commit, "IDLE_SECONDS", 0.01)
    copied = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = writer_connection.WriterConnection.copy_log

    def checkpoint(writer: writer_connection.WriterConnection) -> None:
        real(writer)
        assert writer._log_pages == 0
        loop.call_soon_threadsafe(copied.set)

    monkeypatch.setattr(writer_connection.WriterConnection, "copy_log", checkpoint)
    store = await open_sqlite(path, observe=Timings())
    await insert(store, *(sample_certificate(number) for number in range(50)))
    await copied.wait()
    await store.close()


async def test_a_foreign_reader_delays_the_copying_of_the_log_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_connection, "FORCED_CHECKPOINT_PAGES", 20)
    monkeypatch.setattr(writer_connection, "CHECKPOINT_BUSY_MILLISECONDS", 1)
    store = await open_sqlite(path, observe=Timings())
    await insert(store, sample_certificate(0))
    foreign = apsw.Connection(str(path))
    foreign.execute("BEGIN")
    foreign.execute("SELECT count(*) FROM certificate").fetchall()
    certificates = [sample_certificate(number) for number in range(1, 60)]
    for certificate in certificates:
        await insert(store, certificate)
    assert [await fetch(store, certificate) for certificate in certificates] == certificates
    foreign.close()
    for number in range(60, 120):
        await insert(store, sample_certificate(number))
    assert store._writer._connection._log_pages < 200
    await store.close()


async def test_a_second_process_may_write_at_the_same_time(store: SQLiteStore, path: Path) -> None:
    other = await open_sqlite(path, observe=Timings())
    certificates = [sample_certificate(number) for number in range(200)]
    await asyncio.gather(
        *(insert(store if number % 2 else other, certificate) for number, certificate in enumerate(certificates))
    )
    await other.close()
    assert [await fetch(store, certificate) for certificate in certificates] == certificates


async def test_a_lock_that_is_never_released_is_an_outage_that_heals(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thingmint.storage.sqlite.writer_connection.WRITER_BUSY_MILLISECONDS", 20)
    foreign = apsw.Connection(str(path))
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(ServiceUnavailable):
        await insert(store, sample_certificate(1))
    assert await page(store, 10) == ()
    foreign.execute("ROLLBACK")
    foreign.close()
    await insert(store, sample_certificate(1))


async def test_the_loop_goes_on_while_another_process_holds_the_lock(store: SQLiteStore, path: Path) -> None:
    await insert(store, sample_certificate(0))
    foreign = apsw.Connection(str(path))
    foreign.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(insert(store, sample_certificate(1)))
    await asyncio.sleep(0)
    # Reads are answered, and the foreign lock is given back by the very loop that the writer would otherwise block.
    assert len(await page(store, 10)) == 1
    assert not waiting.done()
    foreign.execute("ROLLBACK")
    foreign.close()
    await waiting
    assert len(await page(store, 10)) == 2


async def test_a_batch_that_would_keep_the_loop_for_long_goes_on_in_the_thread(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "SLICE_SECONDS", 0.0)
    threads: list[str] = []

    def insert_two(first: int) -> Program[None]:
        def program() -> Steps[None]:
            for number in (first, first + 1):
                yield from certificate_table.insert_certificate(sample_certificate(number))
                threads.append(threading.current_thread().name)

        return program

    def fail() -> Steps[None]:
        yield from certificate_table.insert_certificate(sample_certificate(9))
        raise ResourceNotFound("as the test asked")

    results = await asyncio.gather(
        store.write(insert_two(1)), store.write(fail), store.write(insert_two(3)), return_exceptions=True
    )

    assert [type(result) for result in results] == [type(None), ResourceNotFound, type(None)]
    assert set(threads) == {"thingmint-writer"}
    assert len(await page(store, 10)) == 4
    assert await fetch(store, sample_certificate(9)) is None


async def test_an_exception_that_is_no_error_still_answers_its_waiter(store: SQLiteStore) -> None:
    def leave() -> Steps[None]:
        yield from certificate_table.insert_certificate(sample_certificate(1))
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await store.write(leave)
    assert await fetch(store, sample_certificate(1)) is None


async def test_a_forked_process_is_refused(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as forked:
        forked.setattr("thingmint.storage.sqlite.store.os.getpid", lambda: -1)
        with pytest.raises(RuntimeError, match="forked"):
            await page(store, 1)
        with pytest.raises(RuntimeError, match="forked"):
            await insert(store, sample_certificate(1))


WRITING_CHILD = """
import asyncio, sys
from pathlib import Path
from tests.support.databases.stores import insert, sample_certificate
from thingmint.storage.sqlite.store import open_sqlite

async def write(store, first, step):
    number = first
    while True:
        await insert(store, sample_certificate(number))
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
        number += step

async def main():
    store = await open_sqlite(Path(sys.argv[1]), observe=lambda kind, seconds: None)
    await asyncio.gather(*(write(store, first, 16) for first in range(16)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledgements", [1, 200, 3000])
async def test_what_a_killed_process_acknowledged_is_there(path: Path, acknowledgements: int) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WRITING_CHILD,
        str(path),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(Path.cwd()), *sys.path]))},
    )
    assert child.stdout is not None
    told = [int(await child.stdout.readline()) for _ in range(acknowledgements)]
    child.send_signal(signal.SIGKILL)
    rest = (await child.stdout.read()).decode()
    told += [int(line) for line in rest.split("\n")[:-1]]
    await child.wait()
    store = await open_sqlite(path, observe=Timings())
    for number in told:
        assert await fetch(store, sample_certificate(number)) is not None
    stored = [summary.certificate_id for summary in await page(store, 100_000, ascending=True)]
    # At most what was in flight was stored and not told of.
    assert len(told) <= len(stored) <= len(told) + 16
    (intact,) = apsw.Connection(str(path)).execute("PRAGMA integrity_check").fetchall()
    assert intact == ("ok",)
    assert (await fetch(store, sample_certificate(told[0]))).scope == SCOPE  # type: ignore[union-attr]  # found above
    await store.close()


async def test_policies_of_a_device_are_read_without_preparing_their_statement_anew(path: Path) -> None:
    await (await open_sqlite(path, observe=Timings())).close()
    connection = connect(path, vfs=None, reader=True)
    asked: list[int] = []

    def allow(operation: int, *_: str | None) -> int:
        asked.append(operation)
        return apsw.SQLITE_OK

    # SQLite asks for permission whenever it prepares a statement.
    connection.authorizer = allow
    columns = ("000000000000", "us-east-1", "principal", None, None, "thing/", "group/")
    asked_by_then = []
    for _ in range(3):
        connection.execute(EFFECTIVE, columns).fetchall()
        asked_by_then.append(len(asked))
    connection.close()
    assert asked_by_then[0] > 0
    assert asked_by_then == [asked_by_then[0]] * 3


def test_a_start_on_sqlite_does_not_wait_for_postgresqls_driver() -> None:
    program = "import sys, thingmint.cli.serve; sys.exit('asyncpg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_a_change_between_two_statements_of_a_read_is_not_seen(store: SQLiteStore, path: Path) -> None:
    other = connect(path, vfs=None)

    def counted_twice() -> Steps[tuple[object, object]]:
        first = yield from row_of("SELECT count(*) FROM principal_lock")
        other.execute("INSERT INTO principal_lock (principal) SELECT 'p' || count(*) FROM principal_lock")
        return first, (yield from row_of("SELECT count(*) FROM principal_lock"))

    for _ in range(3):
        first, second = await store.read(counted_twice)
        assert first == second
    other.close()
