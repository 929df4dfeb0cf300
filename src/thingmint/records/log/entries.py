"""Owns how the log reads audit entries, finds those that appear late, and indexes them; knows no engine."""

from collections.abc import Sequence
from dataclasses import dataclass

from thingmint.core.transparency.leaf import LoggedEntry
from thingmint.records.log.terms import term_of_action, term_of_principal, term_of_resource
from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import DATABASE_TIME, OPEN_CEILING, OPEN_HORIZON

COLUMNS = "position, at, account, region, principal_arn, source_address, request_id, action, resource, detail"

# One statement, so that an entry and one that was written after it are seen together.
NEW_ENTRIES = (
    f"SELECT {COLUMNS} FROM (SELECT {COLUMNS} FROM audit "  # noqa: S608  the columns are the constants above
    "WHERE position > $1 ORDER BY position LIMIT $2) AS later "
    f"UNION ALL SELECT {COLUMNS} FROM audit WHERE position IN (SELECT position FROM log_gap) ORDER BY position"
)

ENTRIES_BETWEEN = (
    f"SELECT {COLUMNS} FROM audit "  # noqa: S608  the columns are the constants above
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

# Between the giving of a position and the transaction's number there is a moment, so the ceiling is noted later.
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


@dataclass(frozen=True, slots=True)
class OpenTransactions:
    """Numbers around those of all transactions that have not ended, and the database's time."""

    horizon: int
    ceiling: int
    time: int


def new_entries(after: int, limit: int) -> Steps[Sequence[LoggedEntry]]:
    """Return up to ``limit`` entries behind the position, and every entry that has filled a gap, by their positions."""
    return [LoggedEntry(*row) for row in (yield from rows_of(NEW_ENTRIES, after, limit))]


def entries_between(first: int, last: int, limit: int) -> Steps[Sequence[LoggedEntry]]:
    """Return up to ``limit`` entries from one position to another, both included."""
    return [LoggedEntry(*row) for row in (yield from rows_of(ENTRIES_BETWEEN, first, last, limit))]


def count_entries(last: int) -> Steps[int]:
    """Count the entries up to a position."""
    rows = yield from rows_of(COUNT_ENTRIES, last)
    return int(rows[0][0])


def delete_entry(entry: LoggedEntry) -> Steps[None]:
    """Delete an entry, and what it is found by."""
    terms = term_of_resource(entry.resource), term_of_principal(entry.principal_arn), term_of_action(entry.action)
    for term in terms:
        yield from rows_of(DELETE_TERM, term, entry.position)
    yield from rows_of(DELETE_ENTRY, entry.position)


def index_entries(first: int, last: int) -> Steps[None]:
    """Let the entries from one position to another be found by what they tell of."""
    yield from rows_of(INDEX_ENTRIES, first, last)


def open_transactions() -> Steps[OpenTransactions | None]:
    """Return what transactions are open, or None on an engine where they follow one another: it has no gaps."""
    ((horizon, ceiling, time),) = yield from rows_of(OPEN_TRANSACTIONS)
    return None if horizon is None else OpenTransactions(horizon, ceiling, time)


def gaps() -> Steps[Sequence[int]]:
    """Return the positions that may still appear."""
    return [position for (position,) in (yield from rows_of(GAPS))]


def note_gaps(first: int, last: int, time: int) -> Steps[None]:
    """Note that entries may still appear from one position to another, both included."""
    yield from rows_of(NOTE_GAPS, first, last, time)


def close_gap(position: int) -> Steps[None]:
    """Note that the entry at this position has appeared."""
    yield from rows_of(CLOSE_GAP, position)


def set_ceilings(ceiling: int, noted_until: int) -> Steps[None]:
    """Note for gaps of that time or before which transactions can still fill them: those below the ceiling."""
    yield from rows_of(SET_CEILINGS, ceiling, noted_until)


def close_ended_gaps(horizon: int) -> Steps[None]:
    """Forget the gaps that no open transaction can fill."""
    yield from rows_of(CLOSE_ENDED_GAPS, horizon)
