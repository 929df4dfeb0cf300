"""What is true of the PostgreSQL store alone: lost servers, retries, durability settings, URLs."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from tests.support.databases.postgresql import PostgreSQLCluster, new_database
from tests.support.databases.stores import (
    SCOPE,
    Timings,
    changed,
    fetch,
    insert,
    page,
    sample_certificate,
    until_served,
)

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.records.certificates import certificates
from thingmint.records.certificates import certificates as certificate_table
from thingmint.records.clock import postgresql_engine, postgresql_time
from thingmint.records.statement import rows_of
from thingmint.records.steps import Program, Steps
from thingmint.storage import DatabaseTooNew, DatabaseTooOld, InvalidDatabaseURL, open_store, schema
from thingmint.storage.database_url import parse_database_url
from thingmint.storage.postgresql import store as postgresql
from thingmint.storage.postgresql.store import PostgreSQLStore, open_postgresql
from thingmint.storage.schema import migrations


async def opened(url: str, *, may_migrate: bool = True, **options: int) -> PostgreSQLStore:
    return await open_postgresql(parse_database_url(url), observe=Timings(), may_migrate=may_migrate, **options)


@pytest.fixture
async def store(postgresql_url: str) -> AsyncIterator[PostgreSQLStore]:
    made = await opened(postgresql_url)
    yield made
    await made.close()


async def test_the_database_tells_its_time(store: PostgreSQLStore) -> None:
    began = datetime.now(UTC)
    told = [await store.read(postgresql_time) for _ in range(2)]
    # The cluster is on this machine.
    times = [began, *told, datetime.now(UTC)]
    assert times == sorted(times)
    assert told[0].tzinfo is UTC


async def test_the_database_names_its_engine(store: PostgreSQLStore) -> None:
    assert (await store.read(postgresql_engine)).startswith("PostgreSQL ")


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


async def test_a_stopped_server_is_an_outage_that_heals_by_itself(postgresql_cluster: PostgreSQLCluster) -> None:
    databases = new_database(postgresql_cluster.url)
    store = await opened(next(databases))
    before, after = sample_certificate(1), sample_certificate(2)
    await until_served(lambda: insert(store, before))
    await until_served(lambda: asyncio.gather(*(page(store, 1) for _ in range(20))))
    postgresql_cluster.stop()
    try:
        for refused in (fetch(store, before), insert(store, after), store.check()):
            with pytest.raises(ServiceUnavailable):
                await refused
    finally:
        postgresql_cluster.start()
    await until_served(store.check)
    await insert(store, after)
    assert await fetch(store, before) == before
    assert await fetch(store, after) == after
    await store.close()
    assert next(databases, None) is None


async def test_a_restart_between_two_requests_is_not_noticed(postgresql_cluster: PostgreSQLCluster) -> None:
    databases = new_database(postgresql_cluster.url)
    store = await opened(next(databases))
    await asyncio.gather(*(insert(store, sample_certificate(number)) for number in range(20)))
    postgresql_cluster.stop()
    postgresql_cluster.start()
    await asyncio.gather(*(insert(store, sample_certificate(number)) for number in range(20, 40)))
    assert len(await page(store, 100)) == 40
    await store.close()
    assert next(databases, None) is None


async def test_a_server_that_is_away_at_the_start_is_an_outage(tmp_path: Path) -> None:
    url = f"postgresql://thingmint:open-sesame@/thingmint?host={tmp_path}"
    with pytest.raises(ServiceUnavailable, match="cannot be reached") as refused:
        await open_store(url, tmp_path, observe=Timings())
    assert "open-sesame" not in str(refused.value)


async def test_connections_that_die_before_the_commit_are_replaced(store: PostgreSQLStore, postgresql_url: str) -> None:
    runs = 0
    kill = "SELECT pg_terminate_backend(pg_backend_pid())"

    def program() -> Steps[None]:
        nonlocal runs
        runs += 1
        yield from certificate_table.insert_certificate(sample_certificate(1))
        if runs == 1:
            yield from rows_of(kill)

    await store.write(program)
    assert runs == 2
    assert len(await page(store, 10)) == 1


async def test_a_connection_that_always_dies_is_an_outage(store: PostgreSQLStore) -> None:
    def program() -> Steps[None]:
        yield from rows_of("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(ServiceUnavailable):
        await store.write(program)
    with pytest.raises(ServiceUnavailable):
        await store.read(program)
    await store.check()


async def test_deadlocked_programs_are_run_again(store: PostgreSQLStore) -> None:
    first, second = sample_certificate(1), sample_certificate(2)
    await insert(store, first, second)

    def advance(one: object, other: object) -> Program[None]:
        def program() -> Steps[None]:
            for certificate in (one, other):
                before = yield from certificate_table.certificate_for_update(SCOPE, certificate.certificate_id)  # type: ignore[attr-defined]  # a Certificate
                # Long enough for the other transaction to take its first lock.
                yield from rows_of("SELECT pg_sleep(0.05)")
                assert before is not None
                yield from certificate_table.update_certificate(before, changed(before, CertificateStatus.ACTIVE))

        return program

    await asyncio.gather(store.write(advance(first, second)), store.write(advance(second, first)))
    versions = [(await fetch(store, one)).customer_version for one in (first, second)]  # type: ignore[union-attr]  # both exist
    assert versions == [3, 3]


async def test_commits_are_durable_even_where_the_database_says_otherwise(
    store: PostgreSQLStore, postgresql_url: str
) -> None:
    name = urlsplit(postgresql_url).path.removeprefix("/")

    def ask() -> Steps[str]:
        rows = yield from rows_of("SELECT current_setting('synchronous_commit')")
        return str(rows[0][0])

    await execute(postgresql_url, f"ALTER DATABASE {name} SET synchronous_commit TO off")
    other = await opened(postgresql_url)
    assert await other.read(ask) == "off"
    assert await other.write(ask) == "on"
    await execute(postgresql_url, f"ALTER DATABASE {name} SET synchronous_commit TO local")
    third = await opened(postgresql_url)
    assert await third.write(ask) == "local"
    await other.close()
    await third.close()


async def test_a_statement_that_takes_too_long_is_an_outage(
    store: PostgreSQLStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = "SET LOCAL lock_timeout = '3s'; SET LOCAL statement_timeout = '20ms'"
    monkeypatch.setattr("thingmint.storage.postgresql.session._BEGIN_WRITE", f"BEGIN; {limits}")

    def program() -> Steps[None]:
        yield from rows_of("SELECT pg_sleep(60)")

    with pytest.raises(ServiceUnavailable):
        await store.write(program)


@pytest.mark.parametrize("verb", ["read", "write"])
async def test_a_server_that_does_not_answer_is_given_up(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.setattr(postgresql, "COMMAND_SECONDS", 1.0)
    store = await opened(postgresql_url)

    def program() -> Steps[None]:
        yield from rows_of("SELECT pg_sleep(60)")

    with pytest.raises(ServiceUnavailable):
        await (store.read(program) if verb == "read" else store.write(program))
    await store.close()


async def test_over_the_bound_a_request_is_refused_at_once(postgresql_url: str) -> None:
    store = await opened(postgresql_url, max_in_flight=3)
    tasks = [asyncio.create_task(insert(store, sample_certificate(number))) for number in range(5)]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None)] * 3 + [Throttled] * 2
    await store.close()


async def test_nodes_that_start_together_migrate_once(postgresql_url: str) -> None:
    stores = await asyncio.gather(*(opened(postgresql_url) for _ in range(5)))
    connection = await asyncpg.connect(postgresql_url)
    assert await connection.fetchval("SELECT count(*) FROM schema_version") == len(migrations())
    await connection.close()
    for store in stores:
        await store.check()
        await store.close()


async def test_a_database_of_a_later_version_is_refused(store: PostgreSQLStore, postgresql_url: str) -> None:
    newest = migrations()[-1].version
    connection = await asyncpg.connect(postgresql_url)
    await connection.execute(schema.INSERT_SCHEMA_VERSION, newest + 1, "later")
    await connection.close()
    with pytest.raises(DatabaseTooNew, match=f"schema version {newest + 1}"):
        await opened(postgresql_url)


async def test_only_a_start_migrates_a_database(store: PostgreSQLStore, postgresql_url: str) -> None:
    await (await opened(postgresql_url, may_migrate=False)).close()
    connection = await asyncpg.connect(postgresql_url)
    newest = migrations()[-1].version
    await connection.execute("DELETE FROM schema_version WHERE version = $1", newest)
    with pytest.raises(DatabaseTooOld, match=f"schema version {newest - 1}, this version of Thingmint needs {newest}"):
        await opened(postgresql_url, may_migrate=False)
    await connection.execute("DROP TABLE schema_version")
    with pytest.raises(DatabaseTooOld, match="has no tables of Thingmint"):
        await opened(postgresql_url, may_migrate=False)
    assert await connection.fetchval("SELECT to_regclass('schema_version')") is None
    await connection.close()


@pytest.mark.parametrize(
    "query",
    [certificates.CERTIFICATE, certificates.UPDATE_CERTIFICATE, certificates.DELETE_CERTIFICATE],
    ids=["select", "update", "delete"],
)
async def test_one_certificate_is_found_by_its_id_before_there_are_statistics(
    store: PostgreSQLStore, postgresql_url: str, query: str
) -> None:
    await insert(store, *(sample_certificate(number) for number in range(1000)))
    connection = await asyncpg.connect(postgresql_url)
    # A generic plan, as it is kept for a prepared statement, knows none of the values.
    await connection.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE one AS {query}")
    values = ", ".join(["'1'"] * query.count("$"))
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE one ({values})"))
    await connection.close()
    assert "certificate_list" not in plan
    assert "Index Cond: (certificate_id = " in plan


async def test_without_a_statement_cache_everything_works_in_transactions(postgresql_url: str) -> None:
    store = await opened(f"{postgresql_url}&statement_cache_size=0")
    certificate = sample_certificate(1)
    await insert(store, certificate)
    assert await fetch(store, certificate) == certificate
    assert len(await page(store, 10)) == 1
    await store.close()


async def test_a_forked_process_is_refused(store: PostgreSQLStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as forked:
        forked.setattr("thingmint.storage.postgresql.store.os.getpid", lambda: -1)
        with pytest.raises(RuntimeError, match="forked"):
            await page(store, 1)


async def test_a_cancelled_write_leaves_neither_a_lock_nor_a_row(store: PostgreSQLStore) -> None:
    reached = asyncio.Event()

    def program() -> Steps[None]:
        yield from certificate_table.insert_certificate(sample_certificate(1))
        reached.set()
        yield from rows_of("SELECT pg_sleep(60)")

    task = asyncio.create_task(store.write(program))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await insert(store, sample_certificate(1))


@pytest.mark.parametrize(
    "url",
    [
        "mysql://root:open-sesame@localhost/x",
        "postgresql://root:open-sesame@localhost/x?statement_cache_size=many",
        "postgresql://root:open-sesame@localhost/x?statement_cache_size=-1",
        "postgresql://root:open-sesame@localhost/x?&&open-sesame",
        "postgresql://root:open-sesame@localhost:port/x",
        "postgresql://root:open-sesame@localhost/x?sslmode=open-sesame",
    ],
)
async def test_a_bad_url_is_refused_without_being_repeated(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InvalidDatabaseURL) as refused:
        await open_store(url, tmp_path, observe=Timings())
    assert "open-sesame" not in f"{refused.value!r} {refused.value.__cause__!r} {caplog.text}"
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_the_parts_of_a_url_hide_its_password() -> None:
    parsed = parse_database_url("postgresql://root:open-sesame@/x?host=%2Fvar%2Frun&statement_cache_size=0&port=1")
    assert parsed.dsn == "postgresql://root:open-sesame@/x?host=%2Fvar%2Frun&port=1"
    assert parsed.statement_cache_size == 0
    assert "open-sesame" not in repr(parsed)


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("postgresql://u:p@db.example/x", "db.example:5432"),
        ("postgresql://u:p@db.example:6000/x", "db.example:6000"),
        ("postgresql://u:p@[::1]:6000/x", "[::1]:6000"),
        ("postgresql://u:p@[::1]/x", "[::1]:5432"),
        ("postgresql://u:p%40@a:1,b:2/x?target_session_attrs=primary", "a:1, b:2"),
        ("postgresql://u:p@/x?host=%2Fvar%2Frun&port=7000", "/var/run:7000"),
    ],
)
def test_the_servers_of_a_url_are_told_without_user_and_password(url: str, servers: str) -> None:
    parsed = parse_database_url(url)
    assert parsed.servers == servers
    assert parsed.place == f"{servers}/x"
