"""Owns how the log reads audit entries, finds entries that become visible late, and indexes them."""

from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from thingmint.core.transparency.leaf import LoggedEntry
from thingmint.core.transparency.leaf_hashes import SEPARATOR, BareEntry
from thingmint.records.log.terms import term_of_action, term_of_principal, term_of_resource
from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import DATABASE_TIME, OPEN_CEILING, OPEN_HORIZON

COLUMNS = "position, at, account, region, principal_arn, source_address, request_id, action, resource, detail"

# Fewer columns are read faster.
_HEADING = f" || '{SEPARATOR}' || ".join(("account", "region", "source_address", "action"))
BARE_COLUMNS = f"position, at, {_HEADING} AS heading, principal_arn, request_id, resource, detail"

# One statement, so that it sees an entry together with later entries.
NEW_ENTRIES = (
    f"SELECT * FROM (SELECT {BARE_COLUMNS} FROM audit "  # noqa: S608  the columns are the constants above
    "WHERE position > $1 ORDER BY position LIMIT $2) AS later "
    f"UNION ALL SELECT {BARE_COLUMNS} FROM audit WHERE position IN (SELECT position FROM log_gap) ORDER BY position"
)

ENTRIES_BETWEEN = (
    f"SELECT {COLUMNS} FROM audit "  # noqa: S608  the columns are the constants above
    "WHERE position >= $1 AND position <= $2 ORDER BY position LIMIT $3"
)

BARE_ENTRIES_BETWEEN = (
    f"SELECT {BARE_COLUMNS} FROM audit "  # noqa: S608  the columns are the constants above
    "WHERE position >= $1 AND position <= $2 ORDER BY position LIMIT $3"
)

COUNT_ENTRIES = "SELECT count(*) FROM audit WHERE position <= $1"

DELETE_ENTRY = "DELETE FROM audit WHERE position = $1"

OPEN_TRANSACTIONS = f"SELECT {OPEN_HORIZON}, {OPEN_CEILING}, {DATABASE_TIME}"

NOTE_GAPS = (
    "INSERT INTO log_gap (position, noted_at) "
    "WITH RECURSIVE missing (position) AS (SELECT CAST($1 AS BIGINT) "
    "UNION ALL SELECT position + 1 FROM missing WHERE position < $2) "
    "SELECT position, CAST($3 AS BIGINT) FROM missing WHERE position <= $2 ON CONFLICT (position) DO NOTHING"
)

CLOSE_GAP = "DELETE FROM log_gap WHERE position = $1"

GAPS = "SELECT position FROM log_gap ORDER BY position"

# A transaction can get its number a moment after its position, so the ceiling is recorded later.
SET_CEILINGS = "UPDATE log_gap SET ceiling = $1 WHERE ceiling IS NULL AND noted_at <= $2"

CLOSE_ENDED_GAPS = "DELETE FROM log_gap WHERE ceiling <= $1"


def _terms(condition: str) -> str:
    return (
        "INSERT INTO audit_term (term, position) "  # noqa: S608  the conditions are constants below
        f"SELECT 'r' || resource, position FROM audit WHERE {condition} "
        f"UNION ALL SELECT 'p' || principal_arn, position FROM audit WHERE {condition} "
        f"UNION ALL SELECT 'a' || lower(action), position FROM audit WHERE {condition} "
        "ON CONFLICT (term, position) DO NOTHING"
    )


INDEX_ENTRIES = _terms("position >= $1 AND position <= $2")

DELETE_TERM = "DELETE FROM audit_term WHERE term = $1 AND position = $2"


class OpenTransactions(Struct, frozen=True):
    """A number below and a number above those of all open transactions, and the database's time."""

    horizon: int
    ceiling: int
    time: int


def new_entries(after: int, limit: int) -> Steps[Sequence[BareEntry]]:
    """Return up to ``limit`` entries after the position, and every entry that filled a gap, in order of position."""
    return cast("Sequence[BareEntry]", (yield from rows_of(NEW_ENTRIES, after, limit)))


def bare_entries_between(first: int, last: int, limit: int) -> Steps[Sequence[BareEntry]]:
    """Return up to ``limit`` entries from one position to another, both included, as the rows that were read."""
    return cast("Sequence[BareEntry]", (yield from rows_of(BARE_ENTRIES_BETWEEN, first, last, limit)))


def entries_between(first: int, last: int, limit: int) -> Steps[Sequence[LoggedEntry]]:
    """Return up to ``limit`` entries from one position to another, both included."""
    return [LoggedEntry(*row) for row in (yield from rows_of(ENTRIES_BETWEEN, first, last, limit))]


def count_entries(last: int) -> Steps[int]:
    """Count the entries up to a position."""
    rows = yield from rows_of(COUNT_ENTRIES, last)
    return int(rows[0][0])


def delete_entry(entry: LoggedEntry) -> Steps[None]:
    """Delete an entry and its index terms."""
    terms = term_of_resource(entry.resource), term_of_principal(entry.principal_arn), term_of_action(entry.action)
    for term in terms:
        yield from rows_of(DELETE_TERM, term, entry.position)
    yield from rows_of(DELETE_ENTRY, entry.position)


def index_entries(first: int, last: int) -> Steps[None]:
    """Store the index terms of the entries from one position to another."""
    yield from rows_of(INDEX_ENTRIES, first, last)


def open_transactions() -> Steps[OpenTransactions | None]:
    """Return the open transactions; None on an engine whose transactions do not overlap, which has no gaps."""
    ((horizon, ceiling, time),) = yield from rows_of(OPEN_TRANSACTIONS)
    return None if horizon is None else OpenTransactions(horizon, ceiling, time)


def gaps() -> Steps[Sequence[int]]:
    """Return the positions of entries that may still become visible."""
    return [position for (position,) in (yield from rows_of(GAPS))]


def record_gaps(first: int, last: int, time: int) -> Steps[None]:
    """Record that entries from one position to another, both included, may still become visible."""
    yield from rows_of(NOTE_GAPS, first, last, time)


def close_gap(position: int) -> Steps[None]:
    """Record that the entry at this position has become visible."""
    yield from rows_of(CLOSE_GAP, position)


def set_ceilings(ceiling: int, noted_until: int) -> Steps[None]:
    """Record for gaps noted until this time that only transactions below the ceiling can fill them."""
    yield from rows_of(SET_CEILINGS, ceiling, noted_until)


def close_ended_gaps(horizon: int) -> Steps[None]:
    """Delete the gaps that no open transaction can fill."""
    yield from rows_of(CLOSE_ENDED_GAPS, horizon)
