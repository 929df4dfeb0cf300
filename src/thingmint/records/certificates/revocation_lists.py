"""Owns the table of the newest revocation lists, and which node writes them. Independent of the encoding of lists."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from thingmint.core.certificates.revocation_list import ListName, ListState
from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps


@dataclass(frozen=True, slots=True)
class StoredList:
    """A stored list with its DER."""

    state: ListState
    der: bytes = field(repr=False)


_STATE = "issuer_id, shards, shard, number, entries, this_update, next_update, content_digest"

LIST_STATES = f"SELECT {_STATE} FROM revocation_list ORDER BY position"  # noqa: S608  constants above

LIST_DER = "SELECT der FROM revocation_list WHERE issuer_id = $1 AND shards = $2 AND shard = $3 AND number = $4"

INSERT_LIST = (
    f"INSERT INTO revocation_list ({_STATE}, der) "  # noqa: S608  constants above
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING position"
)

# The number in WHERE decides races between two nodes, not the values that they read before.
REPLACE_LIST = (
    "UPDATE revocation_list SET number = $1, entries = $2, this_update = $3, next_update = $4, content_digest = $5, "
    "der = $6 WHERE issuer_id = $7 AND shards = $8 AND shard = $9 AND number = $10 RETURNING position"
)

# Clears the digest of the entries, so that the next list is written at once.
RAISE_NUMBERS = (
    "UPDATE revocation_list SET number = $1, content_digest = '' WHERE issuer_id = $2 AND number < $3 RETURNING number"
)

LEASE = "SELECT owner, ends_at FROM revocation_list_lease WHERE id = 1"

TAKE_LEASE = (
    "INSERT INTO revocation_list_lease (id, owner, ends_at) VALUES (1, $1, $2) "
    "ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, ends_at = excluded.ends_at "
    "WHERE revocation_list_lease.owner = $3 OR revocation_list_lease.ends_at < $4 RETURNING id"
)


def list_states() -> Steps[Sequence[ListState]]:
    """Return the state of every list."""
    return tuple(
        [
            ListState(
                ListName(issuer_id, shards, shard),
                number,
                entries,
                time_of_column(this_update),
                time_of_column(next_update),
                digest,
            )
            for issuer_id, shards, shard, number, entries, this_update, next_update, digest in (
                yield from rows_of(LIST_STATES)
            )
        ]
    )


def list_der(name: ListName, number: int) -> Steps[bytes | None]:
    """Return the DER of a list, or None if it has been replaced since its number was read."""
    row = yield from row_of(LIST_DER, *name, number)
    return None if row is None else bytes(row[0])


def replace_list(before: ListState | None, after: StoredList) -> Steps[bool]:
    """Replace a list by the next one; return False if another node has done so."""
    state = after.state
    content = (
        state.number,
        state.entries,
        column_of_time(state.this_update),
        column_of_time(state.next_update),
        state.content_digest,
        after.der,
    )
    if before is None:
        return (yield from row_of(INSERT_LIST, *state.name, *content)) is not None
    return (yield from row_of(REPLACE_LIST, *content, *state.name, before.number)) is not None


def raise_numbers(issuer_id: str, number: int) -> Steps[None]:
    """Ensure that every later list of the issuer gets a higher number than this one."""
    yield from rows_of(RAISE_NUMBERS, number, issuer_id, number)


def take_lease(owner: str, at: datetime, until: datetime) -> Steps[bool]:
    """Let this node write lists until a time; return False if another node's lease has not ended."""
    now = column_of_time(at)
    taken = yield from row_of(TAKE_LEASE, owner, column_of_time(until), owner, now)
    return taken is not None


def lease_of_another(owner: str, at: datetime) -> Steps[bool]:
    """Return whether another node writes lists at this time."""
    row = yield from row_of(LEASE)
    return row is not None and row[0] != owner and row[1] >= column_of_time(at)
