"""Owns the copying of a whole registry between two databases of any engines. Independent of the tables.

The source is read from one snapshot, in batches; it may be in use. The target must be empty. It is written in one
transaction, so that no row is visible before all rows are.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from thingmint.records.steps import Program
from thingmint.storage.database_url import DatabaseURL
from thingmint.storage.sqlite.copied_tables import CopiedTable, TargetNotEmpty, copied_tables
from thingmint.storage.sqlite.copying import sqlite_snapshot, sqlite_target
from thingmint.storage.transaction_store import TransactionStore

__all__ = ["CopySource", "CopyTarget", "Rows", "TargetNotEmpty", "copy_all", "open_snapshot", "open_target"]

T = TypeVar("T")

Rows = Sequence[Sequence[Any]]
"""Rows of a table: str, int, bytes or None for each of its columns, in their order."""


class CopySource(Protocol):
    """A snapshot of a database. It contains everything that was durable before it was opened."""

    @property
    def schema_version(self) -> int:
        """The number of the last migration that the database had."""
        ...

    def rows(self, table: CopiedTable) -> AsyncIterator[Rows]:
        """Yield the rows of a table in batches, in the order of their key."""
        ...

    async def last_number(self, table: CopiedTable) -> int:
        """Return the highest number that a numbered table has ever used, or a higher one; 0 if it has used none."""
        ...

    async def read(self, program: Program[T]) -> T:
        """Run a program that changes nothing."""
        ...


class CopyTarget(Protocol):
    """An empty database that is filled. After an error, also one of a program in the store, nothing is kept."""

    @property
    def store(self) -> TransactionStore:
        """Runs programs inside the transaction that fills the database."""
        ...

    async def add(self, table: CopiedTable, rows: Rows) -> None:
        """Add rows to a table."""
        ...

    async def go_on_after(self, table: CopiedTable, number: int) -> None:
        """Make a numbered table use only numbers above this one."""
        ...

    async def complete(self) -> None:
        """Adapt the copied rows to this database, and migrate its schema to the newest version."""
        ...


def open_snapshot(database: DatabaseURL | Path) -> AbstractAsyncContextManager[CopySource]:
    """Return a snapshot of an existing PostgreSQL database or SQLite file.

    On entering and inside, raises ServiceUnavailable if the database cannot be read, InvalidDatabaseURL.
    """
    if isinstance(database, Path):
        return sqlite_snapshot(database)
    from thingmint.storage.postgresql.copying import postgresql_snapshot

    return postgresql_snapshot(database)


def open_target(database: DatabaseURL | Path, schema_version: int) -> AbstractAsyncContextManager[CopyTarget]:
    """Return an empty PostgreSQL database, or a new SQLite file, with this version of the schema.

    It is durable if its context ends without an exception; otherwise it stays empty, and a SQLite file is removed. On
    entering and inside, raises ServiceUnavailable if the database cannot be written, InvalidDatabaseURL, and
    TargetNotEmpty, also if the file exists already.
    """
    if isinstance(database, Path):
        return sqlite_target(database, schema_version)
    from thingmint.storage.postgresql.copying import postgresql_target

    return postgresql_target(database, schema_version)


async def copy_all(
    source: CopySource, target: CopyTarget, progress: Callable[[str, int], None] = lambda _table, _rows: None
) -> Mapping[str, int]:
    """Copy every table, and return the number of rows of each.

    ``progress`` receives the table and the number of its copied rows.
    """
    counts = {}
    for table in copied_tables(source.schema_version):
        counts[table.name] = 0
        async for rows in source.rows(table):
            await target.add(table, rows)
            counts[table.name] += len(rows)
            progress(table.name, counts[table.name])
        if table.is_numbered:
            await target.go_on_after(table, await source.last_number(table))
    await target.complete()
    return counts
