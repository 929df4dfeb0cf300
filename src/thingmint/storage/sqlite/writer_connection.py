"""Owns the only connection that writes to SQLite: its lock, its commits, its log. Independent of threads and callers.

After an error of the database or its disk, the connection is reopened before it is used again, because a failed write
may have left wrong pages in memory.

The old connection is closed only after the new one is open. If there were none in between, SQLite would rebuild the
index of its log from the log, and find the batch whose sync failed: refused, but committed. Also, the system treats
pages whose sync failed as clean, so data that is appended after them may be lost in a power failure. With the index
kept, the next batch overwrites these pages. A new process copies the whole log into the database before it serves.
"""

import logging
import time
from collections.abc import Callable, Generator, Iterable
from typing import NamedTuple

import apsw

from thingmint.core.error_text import in_words
from thingmint.records.statement import Statement
from thingmint.records.steps import Program
from thingmint.storage.dialect import SQLITE
from thingmint.storage.sqlite.connection import WRITER_BUSY_MILLISECONDS, close, is_outage, roll_back

_logger = logging.getLogger(__name__)

# The log is copied into the database when it has this many pages and no program waits ...
IDLE_CHECKPOINT_PAGES = 256
# ... and at this size in any case, so that it stays bounded under continuous load.
FORCED_CHECKPOINT_PAGES = 4096
CHECKPOINT_BUSY_MILLISECONDS = 50


class ProgramOutcome(NamedTuple):
    """The outcome of a program: its result, or the error that rolled it back."""

    result: object
    error: BaseException | None


class WriterConnection:
    """Used by one thread at a time, but not always by the same one."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._connection: apsw.Connection | None = None
        self._suspect = False
        self._log_pages = 0
        self._checkpoint_due = FORCED_CHECKPOINT_PAGES

    @property
    def must_copy_log(self) -> bool:
        """Whether the log must be copied before the next write."""
        return self._log_pages >= self._checkpoint_due

    @property
    def may_copy_log(self) -> bool:
        """Whether the log should be copied when no program waits."""
        return self._log_pages >= IDLE_CHECKPOINT_PAGES

    def begin_at_once(self) -> bool:
        """Begin a transaction and return True; return False if this would open a connection or wait for a lock."""
        if self._connection is None or self._suspect:
            return False
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            return False
        return True

    def begin(self) -> None:
        """Begin a transaction; open the connection and wait for other processes if necessary."""
        connection = self._connected()
        connection.set_busy_timeout(WRITER_BUSY_MILLISECONDS)
        connection.execute("BEGIN IMMEDIATE")
        connection.set_busy_timeout(0)

    def run(self, programs: Iterable[Program[object]], outcomes: list[ProgramOutcome]) -> Generator[None]:
        """Run the programs in the transaction, each in a savepoint, and pause after every statement.

        Appends their outcomes to ``outcomes``. Raises only if the whole transaction is lost.
        """
        assert self._connection is not None
        for program in programs:
            outcome = yield from _run_program(self._connection, program)
            outcomes.append(outcome)

    def commit(self) -> float:
        """Make the transaction durable; return the duration in seconds."""
        assert self._connection is not None
        started = time.perf_counter()
        self._connection.execute("COMMIT")
        return time.perf_counter() - started

    def distrust(self) -> None:
        """Roll back the open transaction, and reopen the connection before its next use."""
        self._suspect = True
        # The lock is released now; the connection itself stays open until the next one is open.
        if self._connection is not None:
            roll_back(self._connection)

    def copy_log(self) -> None:
        """Copy the log into the database, or postpone it if that is not possible now."""
        # RESTART waits for readers, which take microseconds, so that the next write starts at the beginning of the log.
        # With PASSIVE, the log grew whenever a reader was active at this moment.
        try:
            connection = self._connected()
            connection.set_busy_timeout(CHECKPOINT_BUSY_MILLISECONDS)
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
            connection.set_busy_timeout(0)
            self._log_pages = 0
            self._checkpoint_due = FORCED_CHECKPOINT_PAGES
        except apsw.Error as error:
            # Commits are durable in the log; only copying is late. Another process's reader, or a full disk, must not
            # slow down every later batch.
            self._checkpoint_due = self._log_pages + FORCED_CHECKPOINT_PAGES
            _logger.warning("the write-ahead log could not be copied into the database: %s", in_words(error))
            self.distrust()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            close(self._connection)
            self._connection = None

    def _connected(self) -> apsw.Connection:
        if self._connection is None or self._suspect:
            connection = self._connect()
            connection.set_busy_timeout(0)
            connection.set_wal_hook(self._note_log_pages)
            self.close()
            self._connection = connection
            self._suspect = False
        return self._connection

    def _note_log_pages(self, _connection: apsw.Connection, _schema: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK


def _run_program(connection: apsw.Connection, program: Program[object]) -> Generator[None, None, ProgramOutcome]:
    connection.execute("SAVEPOINT program")
    steps = program()
    rows = None
    try:
        while True:
            statement = steps.send(rows)
            assert isinstance(statement, Statement)
            rows = connection.execute(SQLITE.translate(statement.sql), statement.parameters).fetchall()
            yield
    except StopIteration as finished:
        outcome = ProgramOutcome(finished.value, None)
    except BaseException as error:
        # After some errors, SQLite rolls back the whole transaction, with the programs before this one.
        if is_outage(error) or connection.get_autocommit():
            raise
        connection.execute("ROLLBACK TO program")
        outcome = ProgramOutcome(None, error)
    finally:
        steps.close()
    connection.execute("RELEASE program")
    return outcome
