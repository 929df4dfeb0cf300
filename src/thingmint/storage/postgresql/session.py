"""Owns one transaction on one PostgreSQL connection, its settings, and the classification of errors as outages."""

import contextlib
import time
from collections.abc import Callable
from typing import TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from thingmint.core.errors import ServiceUnavailable
from thingmint.records.statement import Statement, require_select
from thingmint.records.steps import Program
from thingmint.storage.dialect import POSTGRESQL
from thingmint.storage.postgresql.ending import AnyConnection, end_at_once

T = TypeVar("T")

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

CONNECT_SECONDS = 3.0
COMMAND_SECONDS = 5.0

# SET LOCAL ends with the transaction, so it works behind any pooler and with any defaults of the role. With
# synchronous_commit off, a commit is acknowledged before it is durable; all other values are the operator's choice.
_LIMITS = (
    "SET LOCAL lock_timeout = '3s'; "
    "SET LOCAL statement_timeout = '4s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '10s'"
)
_BEGIN_WRITE = (
    f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {_LIMITS}; "
    "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"
)
_BEGIN_READ = f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {_LIMITS}"

# Errors after which the server has rolled back the whole transaction; the program is run again.
_UNDONE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.InvalidCachedStatementError)

# Classes of SQLSTATE that concern the server's state and not the statement (PostgreSQL, appendix A): connection,
# authorisation, invalid transaction state (a standby is read-only), catalogue, rollback, resources, operator, system.
_OUTAGE_CLASSES = frozenset({"08", "25", "28", "3D", "40", "53", "55", "57", "58", "XX"})


class OutcomeUnknown(ServiceUnavailable):
    """The commit was sent, but not answered: it may have succeeded, so it is not repeated."""


def is_outage(error: Exception) -> bool:
    """Return whether the error is caused by the server or the connection, and not by the program."""
    if isinstance(error, asyncpg.PostgresError):
        return isinstance(error, _UNDONE) or str(error.sqlstate)[:2] in _OUTAGE_CLASSES
    # asyncpg.DataError, also a ValueError, is an invalid parameter, which is an error of the program.
    return isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError) and not isinstance(
        error, ValueError
    )


def is_repeatable(error: Exception) -> bool:
    """Return whether the program, which was certainly rolled back, may succeed on another connection."""
    if isinstance(error, TimeoutError):
        return False
    # A pooled connection that was lost since its last use fails at the first statement.
    lost = isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.PostgresConnectionError)
    return lost or isinstance(error, (*_UNDONE, asyncpg.AdminShutdownError, asyncpg.CrashShutdownError))


async def drive(connection: AnyConnection, program: Program[T], *, read_only: bool = False) -> T:
    """Run the program's statements one after the other and return its result."""
    steps = program()
    try:
        statement = next(steps)
        while True:
            rows = await _fetch(connection, statement, read_only=read_only)
            statement = steps.send(rows)
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        steps.close()


async def drive_single_select(connection: Connection, program: Program[T]) -> tuple[bool, list[T]]:
    """Run a program of at most one statement without a transaction; return whether it was one, and its result."""
    steps = program()
    try:
        rows = await _fetch(connection, next(steps), read_only=True)
        steps.send(rows)
    except StopIteration as finished:
        return True, [finished.value]
    except TimeoutError:
        # A late answer would be interpreted as the answer to the next statement.
        end_at_once(connection)
        raise
    finally:
        steps.close()
    return False, []


async def read_in_snapshot(connection: Connection, program: Program[T]) -> T:
    """Run a program that changes nothing, all of it on one snapshot."""
    try:
        await connection.execute(_BEGIN_READ)
        result = await drive(connection, program, read_only=True)
        await connection.execute("ROLLBACK")
    except BaseException as error:
        await _undo(connection, error)
        raise
    return result


async def write_in_transaction(connection: Connection, program: Program[T], observe: Callable[[str, float], None]) -> T:
    """Run the program and commit it; raise OutcomeUnknown if the commit was not answered."""
    try:
        await connection.execute(_BEGIN_WRITE)
        result = await drive(connection, program)
    except BaseException as error:
        await _undo(connection, error)
        raise
    started = time.perf_counter()
    await _commit(connection)
    observe("commit", time.perf_counter() - started)
    return result


async def _fetch(connection: AnyConnection, statement: object, *, read_only: bool) -> object:
    assert isinstance(statement, Statement)
    if read_only:
        require_select(statement)
    return await connection.fetch(POSTGRESQL.translate(statement.sql), *statement.parameters)


async def _commit(connection: Connection) -> None:
    """Commit; raise OutcomeUnknown if the server did not answer."""
    try:
        ended = await connection.execute("COMMIT")
    except _UNDONE:
        raise
    except BaseException as error:
        # Ending the connection never raises, so that the caller gets the outcome of the commit.
        end_at_once(connection)
        if isinstance(error, Exception):
            raise OutcomeUnknown from error
        raise
    if ended != "COMMIT":
        # PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK and without an error.
        raise ServiceUnavailable


async def _undo(connection: Connection, error: BaseException) -> None:
    """Roll back, or, if the server may not answer, abort the connection, so that the server rolls back.

    The caller raises the program's own error afterwards, so no error of the connection leaves this function.
    """
    rolled_back = False
    try:
        if isinstance(error, Exception) and not isinstance(error, TimeoutError):
            with contextlib.suppress(Exception):
                await connection.execute("ROLLBACK")
                rolled_back = True
    finally:
        if not rolled_back:
            end_at_once(connection)
