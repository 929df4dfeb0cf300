"""Owns a look into a service's database past the service: every row of every table; knows what none of them means."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
from tests.support.databases.postgresql import run_apart

from thingmint.storage import SQLITE_FILE_NAME

Row: TypeAlias = dict[str, Any]
"""A row by the names of its columns: text, numbers and bytes."""

Tables: TypeAlias = Mapping[str, Sequence[Row]]


def tables_of(data_dir: Path, database_url: str | None) -> Tables:
    """Return every row of every table, each table's in one order; the service may be running."""
    return (
        _tables_of_sqlite(data_dir / SQLITE_FILE_NAME) if database_url is None else _tables_of_postgresql(database_url)
    )


def _tables_of_sqlite(file: Path) -> Tables:
    with closing(sqlite3.connect(file)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {name: _in_order(connection.execute(f'SELECT * FROM "{name}"').fetchall()) for (name,) in names}


def _tables_of_postgresql(url: str) -> Tables:
    return run_apart(_read_postgresql(url))


async def _read_postgresql(url: str) -> Tables:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            return {name: _in_order(await connection.fetch(f'SELECT * FROM "{name}"')) for (name,) in names}
    finally:
        await connection.close()


def _in_order(rows: Sequence[Any]) -> list[Row]:
    return sorted((dict(row) for row in rows), key=repr)
