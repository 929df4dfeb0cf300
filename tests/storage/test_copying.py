"""Whole registries are copied between engines: every column of every table, and the numbers that are given next."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.support.databases.database import tables_of

from thingmint.storage import SQLITE_FILE_NAME, open_store, parse_database_url
from thingmint.storage.copying import TargetNotEmpty, copy_all, open_snapshot, open_target
from thingmint.storage.sqlite.copied_tables import NOT_COPIED, ColumnKind, CopiedTable, copied_tables, newest_version

ROWS = 3
GIVEN_BEFORE = 1000
"""The highest number that a table has given; the rows that had it are gone."""


def value(table: CopiedTable, column: str, kind: ColumnKind, number: int) -> object:
    if column == "status" and table.name == "issuer":
        return "RETIRED"
    samples = {
        ColumnKind.TEXT: f"Größe {column} {number}",
        ColumnKind.INTEGER: number,
        ColumnKind.BYTES: bytes([number, 0]),
    }
    return samples[kind]


def sample_rows(table: CopiedTable) -> Sequence[Sequence[Any]]:
    columns = list(zip(table.columns, table.kinds, strict=True))
    return [tuple(value(table, column, kind, number) for column, kind in columns) for number in range(1, ROWS + 1)]


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


async def filled(directory: Path) -> Path:
    """Return a SQLite file with rows in every table."""
    path = directory / SQLITE_FILE_NAME
    async with open_target(path, newest_version()) as target:
        for table in copied_tables(newest_version()):
            await target.add(table, sample_rows(table))
            if table.is_numbered:
                await target.go_on_after(table, GIVEN_BEFORE)
    return path


async def test_a_registry_is_the_same_after_it_was_copied_to_postgresql_and_back(
    tmp_path: Path, postgresql_url: str
) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first, url = await filled(tmp_path / "first"), parse_database_url(postgresql_url)
    async with open_snapshot(first) as source, open_target(url, source.schema_version) as target:
        counts = await copy_all(source, target)
    assert set(counts.values()) == {ROWS}
    second = tmp_path / "second" / SQLITE_FILE_NAME
    async with open_snapshot(url) as source, open_target(second, source.schema_version) as target:
        await copy_all(source, target)

    before, after = tables_of(tmp_path / "first", None), tables_of(tmp_path / "second", None)
    own = {"log_gap", "revocation"}
    assert {name: rows for name, rows in before.items() if name not in own} == {
        name: rows for name, rows in after.items() if name not in own
    }
    assert {row["stamp"] for row in after["revocation"]} == {1}
    assert all(not after[name] for name in NOT_COPIED - {"schema_version"})
    with closing(sqlite3.connect(second)) as database:
        numbers = dict(database.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    numbered = {table.name for table in copied_tables(newest_version()) if table.is_numbered}
    assert {name: numbers[name] for name in numbered} == dict.fromkeys(numbered, GIVEN_BEFORE)
    # A service starts on either of them.
    for each in (None, postgresql_url):
        store = await open_store(each, tmp_path / "second", observe=lambda _kind, _seconds: None)
        await store.check()
        await store.close()


async def test_a_target_that_is_not_empty_is_refused_and_what_is_cut_off_leaves_nothing(
    tmp_path: Path, postgresql_url: str
) -> None:
    first, url = await filled(tmp_path), parse_database_url(postgresql_url)
    for place in (url, tmp_path / "other.sqlite"):
        with pytest.raises(RuntimeError, match="cut off"):  # noqa: PT012  the contexts are what is tested
            async with open_snapshot(first) as source, open_target(place, source.schema_version) as target:
                await copy_all(source, target)
                raise RuntimeError("cut off")
    assert names_in(tmp_path) == {SQLITE_FILE_NAME}
    connection = await asyncpg.connect(postgresql_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    finally:
        await connection.close()

    async with open_snapshot(first) as source, open_target(url, source.schema_version) as target:
        await copy_all(source, target)
    for place in (url, first):
        with pytest.raises(TargetNotEmpty):
            async with open_target(place, newest_version()):
                raise AssertionError("it was opened")
    older = newest_version() - 1
    with pytest.raises(TargetNotEmpty, match="later version"):
        async with open_target(url, older):
            raise AssertionError("it was opened")


async def test_a_registry_of_an_earlier_version_is_migrated(tmp_path: Path) -> None:
    early = 17
    async with open_target(tmp_path / "early.sqlite", early) as target:
        names = {table.name for table in copied_tables(early)}
        await target.complete()
    assert "issuer" in names
    assert "revocation" not in names
    async with open_snapshot(tmp_path / "early.sqlite") as source:
        assert source.schema_version == newest_version()
