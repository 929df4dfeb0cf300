"""Owns the list of tables that are copied from one database to another, and their columns. Opens no service's database.

The tables and columns are those of the migrations: they are created in an empty SQLite database in memory, and read
from there. So tables are in the order in which migrations created them, and none can be forgotten.
"""

import contextlib
from collections.abc import Mapping
from enum import StrEnum

import apsw
from msgspec import Struct

from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.storage.dialect import SQLITE
from thingmint.storage.schema import Migration, migrate, migrations
from thingmint.storage.sqlite.connection import drive

# State of running processes, their locks, and sessions of browsers: a copied registry starts without them. The copies
# of keys for joining nodes are encrypted with the passphrase of a directory; the next start makes them again.
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
    # Positions of unfinished transactions, which will never be filled in another database.
    "log_gap": "DELETE FROM log_gap WHERE position NOT IN (SELECT position FROM audit)",
    # Stamps are transaction numbers of the source database. Each node reads all revocations at its start.
    "revocation": "UPDATE revocation SET stamp = 1",
}
# The tables and columns that differ from the source after these statements.
CHANGED_TABLES = frozenset({"log_gap"})
CHANGED_COLUMNS: Mapping[str, str] = {"revocation": "stamp"}


class TargetNotEmpty(Exception):
    """The target database is not empty; the message names a table that has rows."""


class ColumnKind(StrEnum):
    """The type of a column's values, besides None."""

    TEXT = "text"
    INTEGER = "integer"
    BYTES = "bytes"


_KINDS = {
    "TEXT": ColumnKind.TEXT,
    "BIGINT": ColumnKind.INTEGER,
    "INTEGER": ColumnKind.INTEGER,
    "BLOB": ColumnKind.BYTES,
}


class CopiedTable(Struct, frozen=True):
    """A table, its columns in order with the types of their values, and the columns of its primary key.

    A numbered table gives each row a number that was never used before; the number is its key.
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
    """Return the newest version of the schema in this code."""
    return migrations()[-1].version


def copied_tables(version: int) -> tuple[CopiedTable, ...]:
    """Return the tables of this version of the schema that are copied, in a fixed order."""
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
    """Adapt the copied rows to their new database."""
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
