"""Owns the table of the log's predecessors, and the change of the log's name and key."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from thingmint.core.transparency.checkpoint import LogKey
from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

PREDECESSORS = "SELECT origin, public_key, size, restored_at FROM log_predecessor ORDER BY position"

INSERT_PREDECESSOR = (
    "INSERT INTO log_predecessor (origin, public_key, size, restored_at) VALUES ($1, $2, $3, $4) RETURNING position"
)

RENAME = "UPDATE log_state SET origin = $1, public_key = $2, sealed_secret = $3, checkpoint = $4 WHERE id = 1"


class LogPredecessor(Struct, frozen=True):
    """A log whose first ``size`` leaves the present log has too. The restore lost its later leaves."""

    key: LogKey
    size: int
    restored_at: datetime


def predecessors() -> Steps[Sequence[LogPredecessor]]:
    """Return the log's predecessors, oldest first."""
    return [
        LogPredecessor(LogKey(origin, bytes(public_key)), size, time_of_column(restored_at))
        for origin, public_key, size, restored_at in (yield from rows_of(PREDECESSORS))
    ]


def succeed(before: LogPredecessor, key: LogKey, sealed_secret: bytes, checkpoint: str) -> Steps[None]:
    """Give the log another name and key. Its tree does not change."""
    former = before.key
    yield from rows_of(
        INSERT_PREDECESSOR, former.origin, former.public_key, before.size, column_of_time(before.restored_at)
    )
    yield from rows_of(RENAME, key.origin, key.public_key, sealed_secret, checkpoint)
