"""Owns the filling of a stopped service's database with many things; copies one real row of each table it needs."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import apsw

from bench.filling import CACHE_KIB, DATABASE

# One thing in so many has the attribute's value that is listed.
VALUES = 100
# Of policies, and of what one thing or one policy is attached to, there is one for so many things.
THINGS_EACH = 10

TYPE = "sensor"
"""The type of all things."""

Row: TypeAlias = dict[str, object]
Changes: TypeAlias = Callable[[int], Row]


def fill_things(data_directory: Path, count: int) -> None:
    """Copy the one thing of the database, its attribute and its membership of a group, until there are so many.

    Every hundredth thing has the attribute value of the first one. Of the one policy, its attachment and the thing's
    own there are a tenth as many copies; the certificates that they name do not exist, which no list looks at.
    """
    tenth = count // THINGS_EACH
    connection = apsw.Connection(str(data_directory / DATABASE))
    try:
        # Nothing is lost if the machine fails now, so the journal is left out; the service's mode is restored below.
        connection.execute("PRAGMA journal_mode = OFF").fetchall()
        connection.execute(f"PRAGMA synchronous = OFF; PRAGMA cache_size = -{CACHE_KIB}").fetchall()
        with connection:
            _copy(connection, "thing", count, lambda number: {"name": _name(number), "thing_id": f"id-{number}"})
            _copy(connection, "thing_attribute", count, _attribute)
            _copy(connection, "thing_group_member", count, lambda number: {"thing_name": _name(number)})
            _copy(connection, "thing_principal", tenth, lambda number: {"principal": _arn(number)})
            _copy(connection, "policy", tenth, lambda number: {"name": _name(number)})
            _copy(connection, "policy_attachment", tenth, lambda number: {"target": _arn(number)})
        connection.execute("ANALYZE")
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
    finally:
        connection.close()


def _name(number: int) -> str:
    return f"device-{number:07d}"


def _arn(number: int) -> str:
    return f"arn:aws:iot:us-east-1:000000000000:cert/{number:064x}"


def _attribute(number: int) -> Row:
    if number % VALUES == 1:
        return {}
    value = f"line-{number % VALUES}"
    return {"value": value, "typed_value": f"{TYPE}/{value}"}


def _copy(connection: apsw.Connection, table: str, count: int, changes: Changes) -> None:
    cursor = connection.execute(f"SELECT * FROM {table}")
    names = [column[0] for column in cursor.getdescription()]
    (original,) = cursor.fetchall()
    marks = ", ".join("?" * len(names))
    rows = _rows(dict(zip(names, original, strict=True)), count, changes, names)
    connection.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows)


def _rows(original: Row, count: int, changes: Changes, names: Sequence[str]) -> Iterator[tuple[object, ...]]:
    for number in range(2, count + 1):
        row = original | {"position": number} | changes(number)
        yield tuple(row[name] for name in names)
