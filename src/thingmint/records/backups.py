"""Owns the table with the time of the last backup. Does not know what a backup holds."""

from datetime import datetime

from msgspec import Struct

from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps

LAST_BACKUP = "SELECT began_at, ended_at, size FROM last_backup WHERE id = 1"

# Two backups can run at once. The one that began last has all that the other one has.
NOTE_BACKUP = (
    "INSERT INTO last_backup (id, began_at, ended_at, size) VALUES (1, $1, $2, $3) "
    "ON CONFLICT (id) DO UPDATE SET began_at = excluded.began_at, ended_at = excluded.ended_at, size = excluded.size "
    "WHERE last_backup.began_at <= excluded.began_at"
)


class LastBackup(Struct, frozen=True):
    """When the last completed backup began and ended, and its bytes. It has every change from before its beginning."""

    began_at: datetime
    ended_at: datetime
    size: int


def last_backup() -> Steps[LastBackup | None]:
    """Return the last completed backup, or None."""
    row = yield from row_of(LAST_BACKUP)
    if row is None:
        return None
    began_at, ended_at, size = row
    return LastBackup(time_of_column(began_at), time_of_column(ended_at), size)


def note_backup(made: LastBackup) -> Steps[None]:
    """Record a completed backup, unless one that began later is recorded."""
    yield from rows_of(NOTE_BACKUP, column_of_time(made.began_at), column_of_time(made.ended_at), made.size)
