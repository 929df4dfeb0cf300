"""Owns the copying of a whole registry from one database to another, of any two engines; knows no table by name.

The source is read from one snapshot, in batches, while it may be in use. The target is empty at the beginning, and is
written in one transaction, so that nothing of it can be seen before all of it is there.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from thingmint.records.steps import Program
from thingmint.registration.kernel.ports import Store
from thingmint.storage.copied_tables import CopiedTable, TargetNotEmpty, copied_tables
from thingmint.storage.database_url import DatabaseURL
from thingmint.storage.sqlite_copying import sqlite_snapshot, sqlite_target

__all__ = ["CopySource", "CopyTarget", "Rows", "TargetNotEmpty", "copy_all", "open_snapshot", "open_target"]

T = TypeVar("T")

Rows = Sequence[Sequence[Any]]
"""Rows of a table: str, int, bytes or None for each of its columns, in their order."""


class CopySource(Protocol):
    """A database as it was at one moment. What was durable before it was opened is in it."""

    @property
    def schema_version(self) -> int:
        """The number of the last migration that the database had."""
        ...

    def rows(self, table: CopiedTable) -> AsyncIterator[Rows]:
        """Yield the rows of a table in batches, in the order of their key."""
        ...

    async def last_number(self, table: CopiedTable) -> int:
        """Return the highest number that a numbered table has ever given, or a higher one; 0 if it gave none."""
        ...

    async def read(self, program: Program[T]) -> T:
        """Run a program that changes nothing."""
        ...


class CopyTarget(Protocol):
    """An empty database that is filled. An error, also one of a program in the store, makes all of it void."""

    @property
    def store(self) -> Store:
        """Runs programs inside the transaction that fills the database."""
        ...

    async def add(self, table: CopiedTable, rows: Rows) -> None:
        """Add rows to a table."""
        ...

    async def go_on_after(self, table: CopiedTable, number: int) -> None:
        """Have a numbered table give only numbers above this one."""
        ...

    async def complete(self) -> None:
        """Make the copied rows those of this database, and bring its schema up to date."""
        ...


def open_snapshot(database: DatabaseURL | Path) -> AbstractAsyncContextManager[CopySource]:
    """Return a snapshot of a PostgreSQL database or a SQLite file that is there.

    On entering and inside, raises ServiceUnavailable if the database cannot be read, InvalidDatabaseURL.
    """
    if isinstance(database, Path):
        return sqlite_snapshot(database)
    from thingmint.storage.postgresql_copying import postgresql_snapshot

    return postgresql_snapshot(database)


def open_target(database: DatabaseURL | Path, schema_version: int) -> AbstractAsyncContextManager[CopyTarget]:
    """Return an empty PostgreSQL database, or a new SQLite file, with this version of the schema.

    It is durable when its context has been left without an exception; otherwise nothing is in it, and a SQLite file is
    removed. On entering and inside, raises ServiceUnavailable if the database cannot be written, InvalidDatabaseURL,
    and TargetNotEmpty, also if the file exists already.
    """
    if isinstance(database, Path):
        return sqlite_target(database, schema_version)
    from thingmint.storage.postgresql_copying import postgresql_target

    return postgresql_target(database, schema_version)


async def copy_all(
    source: CopySource, target: CopyTarget, progress: Callable[[str, int], None] = lambda _table, _rows: None
) -> Mapping[str, int]:
    """Copy every table, and return the number of rows of each.

    ``progress`` is told the table and how many of its rows are copied.
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
