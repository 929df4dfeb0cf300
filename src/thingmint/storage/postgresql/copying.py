"""Owns the reading of a PostgreSQL database as one snapshot, and the filling of an empty one."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeAlias, TypeVar

import asyncpg

from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable
from thingmint.records.steps import Program
from thingmint.storage.database_url import DatabaseURL
from thingmint.storage.dialect import POSTGRESQL
from thingmint.storage.postgresql.ending import end_politely
from thingmint.storage.postgresql.session import COMMAND_SECONDS, drive, is_outage
from thingmint.storage.postgresql.store import first_connection
from thingmint.storage.schema import SCHEMA_VERSION, DatabaseTooNew, migrate, migrations
from thingmint.storage.sqlite.copied_tables import (
    CopiedTable,
    TargetNotEmpty,
    copied_tables,
    migrations_to,
    newest_version,
    require_empty,
    settle,
)
from thingmint.storage.transaction_store import TransactionStore

T = TypeVar("T")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_BATCH = 500
# A copy of a large registry takes longer than the time limits that a role may have.
_NO_LIMITS = (
    "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; "
    "SET LOCAL synchronous_commit = on"
)
_SEQUENCE = "SELECT pg_get_serial_sequence($1, $2)"


class PostgreSQLSnapshot:
    """Implements `copying.CopySource`."""

    def __init__(self, connection: Connection, schema_version: int) -> None:
        self._connection = connection
        self.schema_version = schema_version

    async def rows(self, table: CopiedTable) -> AsyncIterator[Sequence[Sequence[Any]]]:
        """Yield the rows of a table in batches, in the order of their key."""
        cursor = await self._connection.cursor(table.rows_in_order)
        while rows := await cursor.fetch(_BATCH):
            yield [tuple(row) for row in rows]

    async def last_number(self, table: CopiedTable) -> int:
        """Return the highest number that a numbered table has ever used, or a higher one; 0 if it has used none."""
        # A sequence is not part of the snapshot: its present value is read.
        sequence = await self._connection.fetchval(_SEQUENCE, table.name, table.key[0])
        number = await self._connection.fetchval(f"SELECT last_value FROM {sequence} WHERE is_called")  # noqa: S608  quoted by PostgreSQL
        return 0 if number is None else int(number)

    async def read(self, program: Program[T]) -> T:
        """Run a program that changes nothing."""
        return await drive(self._connection, program, read_only=True)


class PostgreSQLTarget:
    """Implements `copying.CopyTarget`."""

    def __init__(self, connection: Connection, schema_version: int) -> None:
        self._connection = connection
        self._schema_version = schema_version
        self.store = TransactionStore(self._drive)

    async def add(self, table: CopiedTable, rows: Sequence[Sequence[Any]]) -> None:
        """Add rows to a table."""
        await self._connection.copy_records_to_table(table.name, columns=table.columns, records=rows)

    async def go_on_after(self, table: CopiedTable, number: int) -> None:
        """Make a numbered table use only numbers above this one."""
        if number:
            sequence = await self._connection.fetchval(_SEQUENCE, table.name, table.key[0])
            await self._connection.fetchval("SELECT setval($1::text::regclass, $2)", sequence, number)

    async def complete(self) -> None:
        """Adapt the copied rows to this database, and migrate its schema to the newest version."""
        await drive(self._connection, lambda: settle(self._schema_version))
        await drive(self._connection, lambda: migrate(POSTGRESQL, migrations()))
        # Without statistics, the first requests would scan whole tables.
        names = ", ".join(table.name for table in copied_tables(newest_version()))
        await self._connection.execute(f"ANALYZE {names}")

    async def _drive(self, program: Program[T], *, read_only: bool) -> T:
        return await drive(self._connection, program, read_only=read_only)


@contextlib.asynccontextmanager
async def postgresql_snapshot(url: DatabaseURL) -> AsyncIterator[PostgreSQLSnapshot]:
    """Yield a snapshot of the database; other programs may write to the database meanwhile."""
    async with _connection(url) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(_NO_LIMITS)
        # The first statement that reads a table sets the moment of the snapshot.
        yield PostgreSQLSnapshot(connection, await connection.fetchval(SCHEMA_VERSION))


@contextlib.asynccontextmanager
async def postgresql_target(url: DatabaseURL, schema_version: int) -> AsyncIterator[PostgreSQLTarget]:
    """Yield the empty database; it stays empty unless the context ends without an exception."""
    async with _connection(url) as connection, connection.transaction():
        await connection.execute(_NO_LIMITS)
        try:
            await drive(connection, lambda: migrate(POSTGRESQL, migrations_to(schema_version)))
        except DatabaseTooNew as error:
            raise TargetNotEmpty("the database has the tables of a later version: use one without tables") from error
        await drive(connection, lambda: require_empty(schema_version))
        yield PostgreSQLTarget(connection, schema_version)


@contextlib.asynccontextmanager
async def _connection(url: DatabaseURL) -> AsyncIterator[Connection]:
    connection = await first_connection(url)
    try:
        yield connection
    except Exception as error:
        if not is_outage(error) and not isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
            raise
        raise ServiceUnavailable(f"The database at {url.servers} cannot be copied: {in_words(error)}") from error
    finally:
        await end_politely(connection, COMMAND_SECONDS)
