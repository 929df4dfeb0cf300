"""Owns the table of sessions of the web console. Independent of the database engine."""

from datetime import datetime

from thingmint.core.console_session import ConsoleSession
from thingmint.records.columns import column_of_time, time_of_column
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps

COLUMNS = "token_sha256, access_key_id, key_created_at, source_address, created_at, used_at"

CONSOLE_SESSION = f"SELECT {COLUMNS} FROM console_session WHERE token_sha256 = $1"  # noqa: S608  constants above

INSERT_CONSOLE_SESSION = (
    f"INSERT INTO console_session ({COLUMNS}) "  # noqa: S608  the columns are the constants above
    "VALUES ($1, $2, $3, $4, $5, $6)"
)

# Two nodes can record a use at the same time. The later time is kept.
USE_CONSOLE_SESSION = "UPDATE console_session SET used_at = $1 WHERE token_sha256 = $2 AND used_at < $1"

DELETE_CONSOLE_SESSION = "DELETE FROM console_session WHERE token_sha256 = $1 RETURNING position"

DELETE_IDLE_CONSOLE_SESSIONS = (
    "DELETE FROM console_session WHERE position IN "
    "(SELECT position FROM console_session WHERE used_at <= $1 ORDER BY used_at LIMIT $2) RETURNING position"
)

COUNT_CONSOLE_SESSIONS = "SELECT count(*) FROM console_session WHERE access_key_id = $1"

DELETE_OLDEST_CONSOLE_SESSION = (
    "DELETE FROM console_session WHERE position = "
    "(SELECT min(position) FROM console_session WHERE access_key_id = $1) RETURNING position"
)


def console_session(token_sha256: str) -> Steps[ConsoleSession | None]:
    """Return the session, also if it has ended, or None."""
    row = yield from row_of(CONSOLE_SESSION, token_sha256)
    if row is None:
        return None
    digest, access_key_id, key_created_at, source_address, created_at, used_at = row
    return ConsoleSession(
        token_sha256=digest,
        access_key_id=access_key_id,
        key_created_at=time_of_column(key_created_at),
        source_address=source_address,
        created_at=time_of_column(created_at),
        used_at=time_of_column(used_at),
    )


def insert_console_session(session: ConsoleSession) -> Steps[None]:
    """Store a new session."""
    yield from rows_of(
        INSERT_CONSOLE_SESSION,
        session.token_sha256,
        session.access_key_id,
        column_of_time(session.key_created_at),
        session.source_address,
        column_of_time(session.created_at),
        column_of_time(session.used_at),
    )


def use_console_session(token_sha256: str, at: datetime) -> Steps[None]:
    """Record that the session was used."""
    yield from rows_of(USE_CONSOLE_SESSION, column_of_time(at), token_sha256)


def delete_console_session(token_sha256: str) -> Steps[bool]:
    """Delete the session; return whether it existed."""
    return (yield from row_of(DELETE_CONSOLE_SESSION, token_sha256)) is not None


def delete_idle_console_sessions(used_until: datetime, limit: int) -> Steps[None]:
    """Delete up to ``limit`` sessions that were not used after this time."""
    yield from rows_of(DELETE_IDLE_CONSOLE_SESSIONS, column_of_time(used_until), limit)


def delete_more_console_sessions_than(access_key_id: str, most: int) -> Steps[None]:
    """Delete the oldest sessions of an access key that has more than ``most``."""
    row = yield from row_of(COUNT_CONSOLE_SESSIONS, access_key_id)
    assert row is not None
    for _ in range(row[0] - most):
        yield from rows_of(DELETE_OLDEST_CONSOLE_SESSION, access_key_id)
