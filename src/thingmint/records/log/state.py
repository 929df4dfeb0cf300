"""Owns the row with the log's key, size and position. Independent of the database engine."""

from dataclasses import dataclass, field

from thingmint.core.transparency.checkpoint import LogKey
from thingmint.records.statement import Row, row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.records.tokens import FOR_UPDATE, FOR_UPDATE_SKIP_LOCKED

COLUMNS = "origin, public_key, sealed_secret, size, position, pruned, checkpoint"

STATE = f"SELECT {COLUMNS} FROM log_state WHERE id = 1"  # noqa: S608  the columns are the constants above

INSERT_STATE = (
    f"INSERT INTO log_state (id, {COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES (1, $1, $2, $3, 0, 0, 0, $4) ON CONFLICT (id) DO NOTHING"
)

ADVANCE = "UPDATE log_state SET size = $1, position = $2, checkpoint = $3 WHERE id = 1"

SET_PRUNED = "UPDATE log_state SET pruned = $1 WHERE id = 1"

HAS_NEW_ENTRIES = (
    "SELECT EXISTS (SELECT 1 FROM audit WHERE position > (SELECT position FROM log_state WHERE id = 1)) "
    "OR EXISTS (SELECT 1 FROM log_gap)"
)

NEWEST_POSITION = "SELECT coalesce(max(position), 0) FROM audit"


@dataclass(frozen=True, slots=True)
class LogState:
    """The stored state of the log.

    Every audit entry up to ``position`` has its leaf or may still become visible. Entries of leaves before ``pruned``
    are deleted. ``checkpoint`` is the signed note of the tree of ``size`` leaves.
    """

    key: LogKey
    sealed_secret: bytes = field(repr=False)
    size: int
    position: int
    pruned: int
    checkpoint: str


def log_state() -> Steps[LogState | None]:
    """Return the state, or None if there is no log yet."""
    row = yield from row_of(STATE)
    return None if row is None else _state_of_row(row)


def log_state_for_update() -> Steps[LogState | None]:
    """Return the state and lock it against changes until this transaction ends."""
    row = yield from row_of(STATE + FOR_UPDATE)
    return None if row is None else _state_of_row(row)


def log_state_unless_locked() -> Steps[LogState | None]:
    """Return the state as `log_state_for_update` does, or None if another transaction holds it."""
    row = yield from row_of(STATE + FOR_UPDATE_SKIP_LOCKED)
    return None if row is None else _state_of_row(row)


def begin_log(key: LogKey, sealed_secret: bytes, checkpoint: str) -> Steps[None]:
    """Store an empty log unless a log exists."""
    yield from rows_of(INSERT_STATE, key.origin, key.public_key, sealed_secret, checkpoint)


def advance(size: int, position: int, checkpoint: str) -> Steps[None]:
    """Store the new size, position and checkpoint of the log."""
    yield from rows_of(ADVANCE, size, position, checkpoint)


def set_pruned(pruned: int) -> Steps[None]:
    """Record that the entries of the leaves before this one are deleted."""
    yield from rows_of(SET_PRUNED, pruned)


def has_new_entries() -> Steps[bool]:
    """Return whether there may be entries without a leaf."""
    row = yield from row_of(HAS_NEW_ENTRIES)
    return row is not None and bool(row[0])


def newest_position() -> Steps[int]:
    """Return the position of the newest audit entry, or 0."""
    row = yield from row_of(NEWEST_POSITION)
    return 0 if row is None else int(row[0])


def _state_of_row(row: Row) -> LogState:
    origin, public_key, sealed_secret, size, position, pruned, checkpoint = row
    return LogState(LogKey(origin, bytes(public_key)), bytes(sealed_secret), size, position, pruned, checkpoint)
