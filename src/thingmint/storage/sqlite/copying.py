"""Owns the reading of a SQLite file as one snapshot, and the filling of a new one."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw

from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable
from thingmint.records.statement import row_of
from thingmint.records.steps import Program
from thingmint.storage.dialect import SQLITE
from thingmint.storage.schema import SCHEMA_VERSION, migrate, migrations
from thingmint.storage.sqlite.connection import connect, drive, sync_directory
from thingmint.storage.sqlite.copied_tables import CopiedTable, TargetNotEmpty, migrations_to, settle
from thingmint.storage.transaction_store import TransactionStore

T = TypeVar("T")

_BATCH = 500
_LAST_NUMBER = "SELECT seq FROM sqlite_sequence WHERE name = ?"


class SQLiteSnapshot:
    """Implements `copying.CopySource`."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        row = drive(connection, lambda: row_of(SCHEMA_VERSION), read_only=True)
        self.schema_version = 0 if row is None else int(row[0])

    async def rows(self, table: CopiedTable) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Yield the rows of a table in batches, in the order of their key."""
        cursor = self._connection.execute(table.rows_in_order)
        while rows := [row for _, row in zip(range(_BATCH), cursor, strict=False)]:
            yield rows

    async def last_number(self, table: CopiedTable) -> int:
        """Return the highest number that a numbered table has ever used; 0 if it has used none."""
        return _last_number(self._connection, table)

    async def read(self, program: Program[T]) -> T:
        """Run a program that changes nothing."""
        return drive(self._connection, program, read_only=True)


class SQLiteTarget:
    """Implements `copying.CopyTarget`."""

    def __init__(self, connection: apsw.Connection, schema_version: int) -> None:
        self._connection = connection
        self._schema_version = schema_version
        self.store = TransactionStore(self._drive)

    async def add(self, table: CopiedTable, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table."""
        places = ", ".join("?" * len(table.columns))
        insert = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({places})"  # noqa: S608  names from migrations
        self._connection.executemany(insert, rows)

    async def go_on_after(self, table: CopiedTable, number: int) -> None:
        """Make a numbered table use only numbers above this one."""
        if number > _last_number(self._connection, table):
            self._connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table.name,))
            self._connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table.name, number))

    async def complete(self) -> None:
        """Adapt the copied rows to this database, and migrate its schema to the newest version."""
        drive(self._connection, lambda: settle(self._schema_version))
        drive(self._connection, lambda: migrate(SQLITE, migrations()))

    async def _drive(self, program: Program[T], *, read_only: bool) -> T:
        return drive(self._connection, program, read_only=read_only)


@contextlib.asynccontextmanager
async def sqlite_snapshot(path: Path) -> AsyncIterator[SQLiteSnapshot]:
    """Yield a snapshot of the database; other programs may write to the database meanwhile.

    The database's log grows until the context ends, because SQLite cannot copy pages that are newer than the snapshot.
    """
    with _told(path), contextlib.closing(connect(path, vfs=None, reader=True)) as connection:
        connection.execute("BEGIN")
        yield SQLiteSnapshot(connection)
        connection.execute("ROLLBACK")


@contextlib.asynccontextmanager
async def sqlite_target(path: Path, schema_version: int) -> AsyncIterator[SQLiteTarget]:
    """Yield a new database, which is removed unless the context ends without an exception."""
    with _told(path):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            raise TargetNotEmpty(f"{path} exists already") from None
        try:
            with contextlib.closing(_connection(path)) as connection:
                connection.execute("BEGIN")
                drive(connection, lambda: migrate(SQLITE, migrations_to(schema_version)))
                yield SQLiteTarget(connection, schema_version)
                connection.execute("COMMIT")
                connection.pragma("journal_mode", "wal")
            _sync(path)
        except BaseException:
            for each in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                each.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def _connection(path: Path) -> apsw.Connection:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    # No other process uses the file, and an interrupted copy is removed and started again.
    for name, value in {"journal_mode": "OFF", "synchronous": "OFF", "temp_store": "MEMORY"}.items():
        connection.execute(f"PRAGMA {name} = {value}").fetchall()
    return connection


def _last_number(connection: apsw.Connection, table: CopiedTable) -> int:
    row = connection.execute(_LAST_NUMBER, (table.name,)).fetchone()
    return 0 if row is None else int(row[0])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise ServiceUnavailable(f"The database {path} cannot be copied: {in_words(error)}") from error
