"""Owns the search for values that only a hand can have written: of another type than their column, or not UTF-8.

SQLite stores a value of any type in any column. PostgreSQL does not, so the statements here are for SQLite only.
"""

from collections.abc import Iterator, Mapping

from thingmint.records.statement import Row, rows_of
from thingmint.records.steps import Steps

_INTEGER, _TEXT, _BLOB, _NULL = "integer", "text", "blob", "null"
_PAGE = 500

_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "log_state": {
        "origin": _TEXT,
        "public_key": _BLOB,
        "sealed_secret": _BLOB,
        "size": _INTEGER,
        "position": _INTEGER,
        "pruned": _INTEGER,
        "checkpoint": _TEXT,
    },
    "log_tile": {"level": _INTEGER, "number": _INTEGER, "hashes": _BLOB},
    "log_bundle": {"number": _INTEGER, "positions": _BLOB},
    "log_gap": {"position": _INTEGER},
    "audit": {
        "at": _INTEGER,
        "account": _TEXT,
        "region": _TEXT,
        "principal_arn": _TEXT,
        "source_address": _TEXT,
        "request_id": _TEXT,
        "action": _TEXT,
        "resource": _TEXT,
        "detail": _TEXT,
    },
    **{
        table: {
            "account": _TEXT,
            "region": _TEXT,
            "certificate_id": _TEXT,
            "status": _TEXT,
            "der": _BLOB,
            **further,
        }
        for table, further in (
            ("certificate", {"serial_number": _TEXT, "issuer_id": _TEXT}),
            ("ca_certificate", dict[str, str]()),
        )
    },
}
_OPTIONAL = frozenset({"issuer_id"})


def foreign_values(limit: int) -> Steps[list[str]]:
    """Return up to ``limit`` sentences, each of which names a row and its column with such a value."""
    found = list[str]()
    for table, columns in _COLUMNS.items():
        shown = [
            f"typeof({name}), {f'CAST({name} AS BLOB)' if expected == _TEXT else 'NULL'}"
            for name, expected in columns.items()
        ]
        sql = f"SELECT rowid, {', '.join(shown)} FROM {table} WHERE rowid > $1 ORDER BY rowid LIMIT $2"  # noqa: S608  the names are the constants above
        row_id = -(2**63)
        while rows := (yield from rows_of(sql, row_id, _PAGE)):
            for row in rows:
                found += _foreign_values_of(table, columns, row)
                if len(found) >= limit:
                    return found[:limit]
            row_id = rows[-1][0]
    return found


def _foreign_values_of(table: str, columns: Mapping[str, str], row: Row) -> Iterator[str]:
    row_id, *values = row
    named = f"audit entry {row_id}" if table == "audit" else f"{table} in row {row_id}"
    for (name, expected), kind, text in zip(columns.items(), values[::2], values[1::2], strict=True):
        if kind == _NULL and name in _OPTIONAL:
            continue
        if kind != expected:
            yield f"{named}: was changed: {name} is {kind}, but the service writes {expected}"
        elif text is not None and not _is_utf8(text):
            yield f"{named}: was changed: {name} is not UTF-8"


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
