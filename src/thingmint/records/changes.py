"""Owns the table of registry changes that affect devices, and the order in which nodes read them.

Transactions can overlap on PostgreSQL. If a change got its position when it was written, a reader that has seen 6 would
miss a 5 that is committed later. So a change is written without a position. Readers, one at a time, give the committed
changes the next positions. A reader that has read up to a position has therefore seen every change below it, and
changes that become visible later get higher positions.

A server that takes another one's place may lack its last changes, and give their positions to others. A reader that
compares `ChangesFound.server` notices that.
"""

from collections.abc import Sequence

from msgspec import Struct

from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import CHANGE_POSITION, DATABASE_RUN, NOTIFY_CHANGE

KEPT_CHANGES = 20_000
"""The minimum number of kept positions. A reader that is further behind must assume that anything may have changed."""
_UNPRUNED = 2_000
MOST_AT_ONCE = 10_000
"""The limit of rows for one statement that places or deletes: a statement that takes longer than 4 seconds fails."""

NOTE_CHANGE = f"INSERT INTO registry_change (resource, position) VALUES ($1, {CHANGE_POSITION}){NOTIFY_CHANGE}"  # noqa: S608  tokens

LOCK_PRINCIPAL = (
    "INSERT INTO principal_lock (principal) VALUES ($1) ON CONFLICT (principal) DO UPDATE SET principal = $1"
)

# Returns at least one row, which has the first and last position.
CHANGES_FROM = (
    "SELECT (SELECT coalesce(max(position), 0) + 1 FROM registry_change),"  # noqa: S608  a token
    " (SELECT coalesce(min(position), 1) FROM registry_change),"
    f" (SELECT min(id) FROM registry_change WHERE position IS NULL), {DATABASE_RUN}, changed.resource "
    "FROM (SELECT 1 AS one) AS always LEFT JOIN "
    "(SELECT resource FROM registry_change WHERE position >= $1 ORDER BY position LIMIT $2) AS changed ON 1 = 1"
)


def _placing(table: str) -> str:
    return (
        f"UPDATE {table} SET position = placed.position FROM (SELECT id, row_number() OVER (ORDER BY id)"  # noqa: S608  a constant
        f" + (SELECT coalesce(max(position), 0) FROM {table}) AS position FROM"
        f" (SELECT id FROM {table} WHERE position IS NULL ORDER BY id LIMIT $1) AS first)"
        f" AS placed WHERE {table}.id = placed.id AND {table}.position IS NULL RETURNING 1"
    )


PLACE_CHANGES = _placing("registry_change")
PLACE_MESSAGES = _placing("node_message")

# PostgreSQL only: on SQLite, everything has its position when it is written. The lock is released after the commit is
# visible. A node that hangs while it holds the lock loses it within a second.
ONE_AT_A_TIME = (
    "SELECT set_config('idle_in_transaction_session_timeout', '1000', true), pg_advisory_xact_lock(8391465205717004)"
)

ENDS_OF_CHANGES = "SELECT coalesce(min(position), 0), coalesce(max(position), 0) FROM registry_change"
PRUNE_CHANGES = "DELETE FROM registry_change WHERE position < $1"


class ChangesFound(Struct, frozen=True):
    """The resources that changed from a position on, the position of the next call, and the oldest kept position.

    ``has_unplaced`` is true if there are changes without a position. They are returned after `place_changes`.
    ``server`` differs from that of an earlier call if another server answers, or the same one after a restart.
    """

    following: int
    oldest: int
    has_unplaced: bool
    server: int
    resources: Sequence[str]


def record_change(resource: str) -> Steps[None]:
    """Record that this transaction changes the resource."""
    yield from rows_of(NOTE_CHANGE, resource)


def lock_principal(principal: str) -> Steps[None]:
    """Make other transactions that lock this principal wait for the end of this one."""
    yield from rows_of(LOCK_PRINCIPAL, principal)


def changes_from(position: int, limit: int) -> Steps[ChangesFound]:
    """Return up to ``limit`` changes from the position on."""
    found = yield from rows_of(CHANGES_FROM, position, limit)
    following, oldest, unplaced, server, _ = found[0]
    resources = [row[4] for row in found if row[4] is not None]
    return ChangesFound(following, oldest, unplaced is not None, server, resources)


def place_changes() -> Steps[bool]:
    """Give committed changes their positions, in a separate transaction; return whether there may be more of them."""
    return (yield from _placed(PLACE_CHANGES))


def place_messages() -> Steps[bool]:
    """Give committed messages of nodes their positions, as `place_changes` does."""
    return (yield from _placed(PLACE_MESSAGES))


def _placed(statement: str) -> Steps[bool]:
    yield from rows_of(ONE_AT_A_TIME)
    placed = yield from rows_of(statement, MOST_AT_ONCE)
    return len(placed) == MOST_AT_ONCE


def prunable_changes() -> Steps[int | None]:
    """Return the position before which changes can be deleted at once; None if there are too few to delete."""
    row = yield from row_of(ENDS_OF_CHANGES)
    assert row is not None
    oldest, newest = row
    if newest - oldest <= KEPT_CHANGES + _UNPRUNED:
        return None
    return int(min(newest - KEPT_CHANGES, oldest + MOST_AT_ONCE))


def prune_changes(before: int) -> Steps[None]:
    """Delete the changes before the position. The newest change must not be among them."""
    yield from rows_of(PRUNE_CHANGES, before)
