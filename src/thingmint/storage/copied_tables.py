"""Owns which tables are copied from one database to another, and their columns; opens no database of a service.

The tables and columns are those that the migrations make: they are made in an empty SQLite database in memory, and read
from there. So each table is in the order in which migrations have made it, and none can be forgotten.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import apsw

from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.storage.dialect import SQLITE
from thingmint.storage.schema import Migration, migrate, migrations
from thingmint.storage.sqlite_connection import drive

# What tells of processes that run, of their waiting for each other, or of sessions in a browser: all of it begins anew.
# Copies of the keys for nodes that join are sealed by the passphrase of a directory; the next start makes them again.
NOT_COPIED = frozenset(
    {
        "authority_copy",
        "client_ending",
        "console_session",
        "node",
        "node_connection",
        "node_message",
        "principal_lock",
        "registry_change",
        "revocation_list_lease",
        "schema_version",
        "write_check",
    }
)

_AFTER_COPYING: Mapping[str, str] = {
    # Positions of transactions that had not ended: in another database, nobody will ever give them.
    "log_gap": "DELETE FROM log_gap WHERE position NOT IN (SELECT position FROM audit)",
    # Numbers of transactions of another database. Each node reads all revocations at its start.
    "revocation": "UPDATE revocation SET stamp = 1",
}
# What these statements make different from the source.
CHANGED_TABLES = frozenset({"log_gap"})
CHANGED_COLUMNS: Mapping[str, str] = {"revocation": "stamp"}


class TargetNotEmpty(Exception):
    """The database that was to be filled holds something already; the message says what."""


class ColumnKind(StrEnum):
    """What the values of a column are, besides None."""

    TEXT = "text"
    INTEGER = "integer"
    BYTES = "bytes"


_KINDS = {
    "TEXT": ColumnKind.TEXT,
    "BIGINT": ColumnKind.INTEGER,
    "INTEGER": ColumnKind.INTEGER,
    "BLOB": ColumnKind.BYTES,
}


@dataclass(frozen=True, slots=True)
class CopiedTable:
    """A table, its columns in their order with the kinds of their values, and the columns of its primary key.

    A numbered table gives each row a number that no row before it had; the number is its key.
    """

    name: str
    columns: tuple[str, ...]
    kinds: tuple[ColumnKind, ...]
    key: tuple[str, ...]
    is_numbered: bool

    @property
    def rows_in_order(self) -> str:
        """The statement that returns every row, in the order of the key."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name} ORDER BY {', '.join(self.key)}"  # noqa: S608  names from migrations


def migrations_to(version: int) -> tuple[Migration, ...]:
    """Return the migrations up to a version of the schema."""
    return tuple([each for each in migrations() if each.version <= version])


def newest_version() -> int:
    """Return the newest version of the schema that this code knows."""
    return migrations()[-1].version


def copied_tables(version: int) -> tuple[CopiedTable, ...]:
    """Return the tables that a database of this version of the schema has and that are copied, in a fixed order."""
    with contextlib.closing(apsw.Connection(":memory:")) as memory:
        drive(memory, lambda: migrate(SQLITE, migrations_to(version)))
        made = memory.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
        ).fetchall()
        return tuple([_table(memory, str(name), str(sql)) for name, sql in made if name not in NOT_COPIED])


def require_empty(version: int) -> Steps[None]:
    """Return if no table of the database has a row; raise TargetNotEmpty, which names one that has."""
    for table in copied_tables(version):
        row = yield from row_of(f"SELECT 1 FROM {table.name} LIMIT 1")  # noqa: S608  a name from migrations
        if row is not None:
            raise TargetNotEmpty(f"the database is not empty: its table {table.name} has rows")


def settle(version: int) -> Steps[None]:
    """Make the copied rows those of their new database."""
    present = {table.name for table in copied_tables(version)}
    for name, statement in _AFTER_COPYING.items():
        if name in present:
            yield from rows_of(statement)


def _table(memory: apsw.Connection, name: str, sql: str) -> CopiedTable:
    columns = memory.execute("SELECT name, type, pk FROM pragma_table_info($1)", (name,)).fetchall()
    key = sorted((place, column) for column, _, place in columns if place)
    return CopiedTable(
        name=name,
        columns=tuple([str(column) for column, _, _ in columns]),
        kinds=tuple([_KINDS[str(kind)] for _, kind, _ in columns]),
        key=tuple([str(column) for _, column in key]),
        is_numbered="AUTOINCREMENT" in sql,
    )
