"""Owns the reads of a SQLite file on one connection: each program sees one snapshot. Independent of writes and callers.

A single statement has a snapshot without a transaction, and most reads are one statement. So a program first runs
without a transaction. If it yields a second statement, it runs again from the start in a transaction, and later
programs with the same code run in a transaction at once.
"""

from types import CodeType, GeneratorType
from typing import Final, TypeVar, cast

import apsw

from thingmint.records.statement import Statement, require_select
from thingmint.records.steps import Program
from thingmint.storage.dialect import SQLITE
from thingmint.storage.sqlite.connection import close, transact

T = TypeVar("T")


class SQLiteReader:
    """A connection that changes nothing."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection: Final = connection
        # The code of programs that have several statements.
        self._longer: set[CodeType] = set()

    def run(self, program: Program[T]) -> T:
        """Return the program's result; raise ReadOnlyProgramWrites, what the program raises, and apsw.Error."""
        steps = program()
        code = cast("GeneratorType[object, object, T]", steps).gi_code
        if code in self._longer:
            steps.close()
            return transact(self._connection, "BEGIN", program, read_only=True)
        try:
            try:
                statement = next(steps)
                assert isinstance(statement, Statement)
                sql = statement.sql
                # Called only if necessary, because every request reads at least one row.
                if not sql.startswith("SELECT"):
                    require_select(statement)
                if "{" in sql:
                    sql = SQLITE.translate(sql)
                steps.send(self._connection.execute(sql, statement.parameters).fetchall())
            except StopIteration as finished:
                result: T = finished.value
                return result
        finally:
            steps.close()
        self._longer.add(code)
        return transact(self._connection, "BEGIN", program, read_only=True)

    def close(self) -> None:
        """Close the connection."""
        close(self._connection)
