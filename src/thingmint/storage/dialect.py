"""Owns the differences between SQLite's and PostgreSQL's SQL. Has no table's name except that of the schema version."""

import re
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from thingmint.records.tokens import (
    CHANGE_POSITION,
    DATABASE_RUN,
    DATABASE_TIME,
    FOR_KEY_SHARE,
    FOR_SHARE,
    FOR_UPDATE,
    FOR_UPDATE_SKIP_LOCKED,
    NOTIFY_CHANGE,
    OPEN_CEILING,
    OPEN_HORIZON,
    REVOCATION_CEILING,
    REVOCATION_HORIZON,
    REVOCATION_STAMP,
)

# These tokens are used only in migrations.
PRIMARY_KEY = "{PK}"
BLOB = "{BLOB}"
# Compared byte by byte for any locale of the database: in another order, texts with one prefix are not adjacent.
ORDERED_TEXT = "{ORDERED_TEXT}"
# The additional columns in a list's index. With them, SQLite answers a list from the index and does not read the pages
# that hold DER. PostgreSQL must read the heap for visibility anyway, and would update the index at each new status.
SUMMARY_COLUMNS = "{SUMMARY_COLUMNS}"
# A table that is cheap to write, and that is empty after a crash of the server.
UNLOGGED = "{UNLOGGED}"

CHANGES_CHANNEL = "thingmint_changes"
"""The channel that PostgreSQL notifies of changes in the registry."""
MESSAGES_CHANNEL = "thingmint_messages"
"""The channel that it notifies of messages of nodes."""
NODES_CHANNEL = "thingmint_nodes"
"""The channel that it notifies of nodes that have joined or left."""

# A table whose columns are all in the primary key needs no second copy of them.
WITHOUT_ROWID = "{WITHOUT_ROWID}"

# The comparison and the direction of `tokens.before` and `tokens.after`.
_PAGES = {"BEFORE": ("<", "DESC"), "AFTER": (">", "ASC")}
_TOKEN = re.compile(r"\{([A-Z_]+)((?: [a-z_]+)*)\}")


def _page_by_equality(columns: Sequence[str], comparison: str, direction: str) -> str:
    *equal, position = (f"{column} {{}} ${number}" for number, column in enumerate(columns, 1))
    conditions = (*(each.format("=") for each in equal), position.format(comparison))
    return f"{' AND '.join(conditions)} ORDER BY {columns[-1]} {direction}"


# PostgreSQL's cached plan does not know how many rows have the given values. With equality it can prefer the primary
# key, and then reads the rows of all other accounts until the page is full. A comparison of rows in the order of the
# index leaves it only this index. SQLite uses only the first columns of such a comparison, and would read too much.
def _page_by_rows(columns: Sequence[str], comparison: str, direction: str) -> str:
    numbers = [f"${number}" for number in range(1, len(columns) + 1)]
    bound = {"<": ">=", ">": "<="}[comparison]
    return (
        f"({', '.join(columns)}) {comparison} ({', '.join(numbers)}) "
        f"AND ({', '.join(columns[:-1])}) {bound} ({', '.join(numbers[:-1])}) "
        f"ORDER BY {', '.join(f'{column} {direction}' for column in columns)}"
    )


class Dialect(Struct, frozen=True):
    """An engine's replacements for the tokens, and the statements that have no common form."""

    words: Mapping[str, str]
    page: Callable[[Sequence[str], str, str], str]
    migration_lock: str | None
    schema_version_exists: str

    def translate(self, sql: str) -> str:
        """Return the text with the tokens replaced."""
        # A shortcut, because most statements have no tokens.
        if "{" not in sql:
            return sql
        return _TOKEN.sub(self._replacement, sql)

    def _replacement(self, found: re.Match[str]) -> str:
        columns = found[2].split()
        if not columns:
            return self.words[found[0]]
        return self.page(columns, *_PAGES[found[1]])


SQLITE = Dialect(
    words={
        # One program writes at a time, so it needs no locks.
        FOR_UPDATE: "",
        FOR_SHARE: "",
        FOR_KEY_SHARE: "",
        FOR_UPDATE_SKIP_LOCKED: "",
        OPEN_HORIZON: "NULL",
        OPEN_CEILING: "NULL",
        DATABASE_TIME: "NULL",
        DATABASE_RUN: "0",
        # Commits follow one another, and a counter is enough.
        CHANGE_POSITION: "(SELECT coalesce(max(position), 0) + 1 FROM registry_change)",
        NOTIFY_CHANGE: "",
        # The row with the highest stamp is never deleted.
        REVOCATION_STAMP: "(SELECT coalesce(max(stamp), 0) + 1 FROM revocation)",
        REVOCATION_CEILING: "9223372036854775807",
        REVOCATION_HORIZON: "(SELECT coalesce(max(stamp), 0) + 1 FROM revocation)",
        # AUTOINCREMENT: without it the position of a deleted newest row is given out again.
        PRIMARY_KEY: "INTEGER PRIMARY KEY AUTOINCREMENT",
        BLOB: "BLOB",
        ORDERED_TEXT: "TEXT",
        SUMMARY_COLUMNS: ", certificate_id, status, mode, created_at",
        WITHOUT_ROWID: " WITHOUT ROWID",
        UNLOGGED: "",
    },
    page=_page_by_equality,
    migration_lock=None,
    schema_version_exists="SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'",
)

POSTGRESQL = Dialect(
    words={
        FOR_UPDATE: " FOR UPDATE",
        FOR_SHARE: " FOR SHARE",
        FOR_KEY_SHARE: " FOR KEY SHARE",
        FOR_UPDATE_SKIP_LOCKED: " FOR UPDATE SKIP LOCKED",
        OPEN_HORIZON: "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)",
        OPEN_CEILING: "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)",
        DATABASE_TIME: "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)",
        DATABASE_RUN: "CAST(extract(epoch FROM pg_postmaster_start_time()) * 1000000 AS BIGINT)",
        # Transactions overlap: see `records.changes`.
        CHANGE_POSITION: "NULL",
        NOTIFY_CHANGE: f" RETURNING pg_notify('{CHANGES_CHANNEL}', '')",
        REVOCATION_STAMP: "CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT)",
        REVOCATION_CEILING: "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS TEXT) AS BIGINT)",
        REVOCATION_HORIZON: "CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)",
        PRIMARY_KEY: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        BLOB: "BYTEA",
        ORDERED_TEXT: 'TEXT COLLATE "C"',
        SUMMARY_COLUMNS: "",
        WITHOUT_ROWID: "",
        UNLOGGED: "UNLOGGED ",
    },
    page=_page_by_rows,
    # An arbitrary number that other programs are unlikely to use; held until the migrating transaction ends.
    migration_lock="SELECT pg_advisory_xact_lock(8391465205717003)",
    schema_version_exists="SELECT count(*) FROM pg_class WHERE oid = to_regclass('schema_version')",
)
