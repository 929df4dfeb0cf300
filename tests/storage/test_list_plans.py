"""A page of a list costs a small account the same beside a large one: each engine reads only the list's own index."""

import re
from collections.abc import Sequence
from pathlib import Path

import apsw
import asyncpg
import pytest
from msgspec.structs import replace
from tests.storage.test_schema import STATEMENTS

from thingmint.storage.dialect import POSTGRESQL, SQLITE, Dialect
from thingmint.storage.schema import migrations

PAGES = {name: text for name, text in STATEMENTS.items() if "{BEFORE " in text or "{AFTER " in text}
ROWS = 3000
# Three rows belong to the small account.
VALUES = {
    "text": "substr(md5(i::text), 1, 12) || i",
    "bigint": "i",
    "integer": "i",
    "bytea": "decode(md5(i::text), 'hex')",
    "boolean": "i % 2 = 0",
}


def test_pages_of_lists_name_their_index() -> None:
    assert len(PAGES) > 20
    # With equality and the order of positions alone, PostgreSQL can read the rows of all accounts.
    plain = r"WHERE account = \$1 AND region = \$2 AND position [<>]=? \$3 ORDER BY position\b"
    assert [name for name, text in STATEMENTS.items() if re.search(plain, text)] == []


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES.keys())
def test_sqlite_searches_each_page_by_all_columns_of_its_index(text: str, tmp_path: Path) -> None:
    connection = apsw.Connection(":memory:")
    for migration in migrations():
        for statement in migration.statements(SQLITE):
            connection.execute(statement)
    sql = SQLITE.translate(text)
    plan = [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", (1,) * len(set(numbers(sql))))]
    connection.close()
    searches = [step for step in plan if step.startswith(("SEARCH", "SCAN")) and " USING " in step]
    assert len(searches) == len(re.findall(r"\bposition[<> ]+\$", sql))
    assert [step for step in searches if not re.search(r"region=\?.* AND position[<>]\?\)$", step)] == []


async def test_postgresql_reads_no_row_of_another_account(postgresql_url: str) -> None:
    connection = await asyncpg.connect(postgresql_url)
    try:
        await fill(connection)
        by_equality = replace(POSTGRESQL, page=SQLITE.page)
        # The check finds the plans that the comparison of rows is there to prevent.
        assert await readers_of_other_accounts(connection, by_equality) != []
        assert await readers_of_other_accounts(connection, POSTGRESQL) == []
    finally:
        await connection.close()


async def fill(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Make the tables of the lists, and store the same number of rows in each, all but three of one account."""
    for migration in migrations():
        for statement in migration.statements(POSTGRESQL):
            await connection.execute(statement)
    checks = await connection.fetch(
        "SELECT conrelid::regclass::text, conname FROM pg_constraint "
        "WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace"
    )
    for table, name in checks:
        await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    for table in sorted({found for text in PAGES.values() for found in re.findall(r"FROM (\w+) WHERE", text)}):
        columns = await connection.fetch(
            "SELECT column_name, data_type FROM information_schema.columns "
            "WHERE table_name = $1 AND is_identity = 'NO'",
            table,
        )
        own = {"account": "CASE WHEN i <= 3 THEN '2' ELSE '1' END", "region": "'r'"}
        values = ", ".join(own.get(name) or VALUES[kind] for name, kind in columns)
        names = ", ".join(name for name, _ in columns)
        await connection.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM generate_series(1, {ROWS}) AS i")
    await connection.execute("ANALYZE")
    # The plan that a prepared statement keeps for all values.
    await connection.execute("SET plan_cache_mode = force_generic_plan")


async def readers_of_other_accounts(connection: "asyncpg.Connection[asyncpg.Record]", dialect: Dialect) -> list[str]:
    """Return the statements whose plan finds rows without the account and then discards those of other accounts."""
    found = []
    for name, text in PAGES.items():
        sql = dialect.translate(text)
        await connection.execute(f"PREPARE page AS {sql}")
        rows = await connection.fetch(f"EXPLAIN EXECUTE page ({', '.join(['NULL'] * len(set(numbers(sql))))})")
        await connection.execute("DEALLOCATE page")
        if any(re.search(r"Filter: .*\baccount\b|Seq Scan", row[0]) for row in rows):
            found.append(name)
    return found


def numbers(sql: str) -> Sequence[str]:
    """Return the numbers of the statement's parameters, with repetitions."""
    return re.findall(r"\$([0-9]+)", sql)
