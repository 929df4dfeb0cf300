"""Owns a store in memory that keeps the promises of `ports.Store` and makes nothing durable.

It is SQLite without a file, so that every statement is the real one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import apsw

from thingmint.core.access_key import AccessKey
from thingmint.core.audit_entry import AuditEntry
from thingmint.core.certificates.certificate import Certificate
from thingmint.core.errors import ServiceUnavailable
from thingmint.records import audit
from thingmint.records.access import access_keys
from thingmint.records.certificates import certificates
from thingmint.records.statement import Row, rows_of
from thingmint.records.steps import Program, Steps
from thingmint.storage.dialect import SQLITE
from thingmint.storage.schema import migrate, migrations
from thingmint.storage.sqlite.connection import drive, transact

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Tables:
    """What is stored, in the order of insertion."""

    connection: apsw.Connection

    @property
    def certificates(self) -> list[Certificate]:
        """All certificates, oldest first."""
        return [certificates.certificate_of_row(row) for row in self.rows("certificate", certificates.COLUMNS)]

    @property
    def access_keys(self) -> dict[str, AccessKey]:
        """All access keys by their ids, oldest first."""
        found = [access_keys.access_key_of_row(row) for row in self.rows("access_key", access_keys.COLUMNS)]
        return {access_key.access_key_id: access_key for access_key in found}

    @property
    def audit(self) -> list[AuditEntry]:
        """The audit trail, oldest entry first."""
        return [audit.audit_entry_of_row(row) for row in self.rows("audit", audit.COLUMNS)]

    def rows(self, table: str, columns: str = "*") -> Sequence[Row]:
        """Return the rows of a table in the order of insertion."""
        return self.connection.execute(f"SELECT {columns} FROM {table} ORDER BY rowid").fetchall()

    def dump(self) -> dict[str, Sequence[Row]]:
        """Return everything but what is an index of it, to be compared with what there is later."""
        names = self.connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE '%WITHOUT ROWID'"
        ).fetchall()
        return {str(name): self.rows(str(name)) for (name,) in names if not str(name).startswith("sqlite_")}


class MemoryStore:
    """A `ports.Store` whose tables tests may look into.

    Each program that writes is run twice and its first run undone, as a store may do after a deadlock: a program that
    has effects of its own shows. ``refuse_with`` set to an error makes every call fail, ``lose_commit_with`` makes
    writes fail when they should become durable.
    """

    def __init__(self) -> None:
        self._connection = apsw.Connection(":memory:")
        self._connection.execute("PRAGMA foreign_keys = ON").fetchall()
        self._connection.deserialize("main", _EMPTY)
        self.tables = Tables(self._connection)
        self.refuse_with: ServiceUnavailable | None = None
        self.lose_commit_with: ServiceUnavailable | None = None
        self.closed = False

    async def read(self, program: Program[T]) -> T:
        """Run a program that changes nothing."""
        await self.check()
        return transact(self._connection, "BEGIN", program, read_only=True)

    async def write(self, program: Program[T]) -> T:
        """Run a program, and keep what it did unless it raises."""
        await self.check()
        self._rehearse(program)

        def committed() -> Steps[T]:
            result = yield from program()
            if self.lose_commit_with is not None:
                raise self.lose_commit_with
            return result

        return transact(self._connection, "BEGIN", committed)

    def _rehearse(self, program: Program[object]) -> None:
        self._connection.execute("BEGIN")
        try:
            drive(self._connection, program)
        finally:
            self._connection.execute("ROLLBACK")

    async def check(self) -> None:
        """Return if the store answers; raise what it was told to refuse with otherwise."""
        if self.refuse_with is not None:
            raise self.refuse_with

    async def close(self) -> None:
        """Note that the store was closed."""
        self.closed = True

    def execute(self, sql: str, *parameters: object) -> None:
        """Change the tables behind the service's back."""
        transact(self._connection, "BEGIN", lambda: rows_of(sql, *parameters))


def _empty_database() -> bytes:
    connection = apsw.Connection(":memory:")
    transact(connection, "BEGIN", lambda: migrate(SQLITE, migrations()))
    return connection.serialize("main")


_EMPTY = _empty_database()
