"""Owns the statement with its parameters that a program yields to a store. Independent of engines and tables."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from thingmint.records.steps import Steps

# The types of columns are known to the modules of the tables.
Row: TypeAlias = Sequence[Any]


class Statement(NamedTuple):
    """SQL with ``$n`` parameters.

    SQLite numbers named parameters by their first appearance, so ``$1`` must appear before ``$2``, and so on.
    """

    sql: str
    parameters: tuple[object, ...] = ()


class ReadOnlyProgramWrites(RuntimeError):
    """A program that runs under ``read`` yielded a statement other than SELECT."""


def rows_of(sql: str, *parameters: object) -> Steps[Sequence[Row]]:
    """Yield one statement and return its rows."""
    return cast("Sequence[Row]", (yield Statement(sql, parameters)))


def row_of(sql: str, *parameters: object) -> Steps[Row | None]:
    """Yield one statement and return its first row, or None."""
    rows = yield from rows_of(sql, *parameters)
    return rows[0] if rows else None


def require_select(statement: Statement) -> None:
    """Raise ReadOnlyProgramWrites unless the statement is a SELECT."""
    if not statement.sql.startswith("SELECT"):
        raise ReadOnlyProgramWrites("a program given to read() yielded a statement that writes")
