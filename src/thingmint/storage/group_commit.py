"""Owns the one thread that writes to SQLite: batches of programs, one savepoint each, one commit; knows no SQL of them.

Nothing is delivered before the commit returned. An error of the database or its disk fails the whole batch, and the
connection is opened anew for the next one: what a failed write left in memory is never trusted.

The old connection is let go only after the new one is open. Between two connections SQLite would rebuild the index of
its log from the log itself, and find there the batch whose sync failed: refused, yet committed. Worse, the system holds
pages whose sync failed for clean, so what is appended after them may not survive a power cut. With the index kept, the
next batch overwrites them. A process that starts anew copies the whole log into the database before it serves.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import apsw

from thingmint.core.errors import ServiceUnavailable
from thingmint.registration.steps import Steps
from thingmint.storage.sqlite_connection import WRITER_BUSY_MILLISECONDS, close, drive, is_outage
from thingmint.storage.transaction import SqlTransaction

_logger = logging.getLogger(__name__)

MAX_BATCH = 256

# The log is copied into the database when it has reached so many pages and nobody waits ...
IDLE_CHECKPOINT_PAGES = 256
IDLE_SECONDS = 0.25
# ... and at this size in any case, so that it stays bounded under load that never pauses.
FORCED_CHECKPOINT_PAGES = 4096
CHECKPOINT_BUSY_MILLISECONDS = 50


class Outcome(NamedTuple):
    """What became of a program: its result, or the error that undid it."""

    result: object
    error: BaseException | None


class Job(NamedTuple):
    """A program and the future of whoever waits for it."""

    program: Callable[[SqlTransaction], Steps[object]]
    waiter: asyncio.Future[Outcome]


class GroupCommit:
    """Writes what is submitted; every method but the thread's own belongs to the event loop that made it."""

    def __init__(self, connect: Callable[[], apsw.Connection], observe: Callable[[str, float], None]) -> None:
        self._connect = connect
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._connection: apsw.Connection | None = None
        self._suspect = False
        self._log_pages = 0
        self._checkpoint_due = FORCED_CHECKPOINT_PAGES
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._stopping = False
        self.in_flight = 0
        self._thread = threading.Thread(target=self._run, name="thingmint-writer", daemon=True)
        self._thread.start()

    @property
    def stopping(self) -> bool:
        """Say whether stop() was called."""
        return self._stopping

    async def submit(self, program: Callable[[SqlTransaction], Steps[object]]) -> Outcome:
        """Return what became of the program, once that is durable."""
        waiter: asyncio.Future[Outcome] = self._loop.create_future()
        self.in_flight += 1
        self._queue.put(Job(program, waiter))
        return await waiter

    async def stop(self) -> None:
        """Finish what was submitted, then end the thread; may be called more than once."""
        if not self._stopping:
            self._stopping = True
            self._queue.put(None)
        await asyncio.shield(self._stopped)

    # Everything below but _deliver runs in the thread.

    def _run(self) -> None:
        batch, goes_on = self._next_batch()
        while batch or goes_on:
            self._write(batch)
            if self._log_pages >= self._checkpoint_due:
                self._checkpoint()
            if not goes_on:
                break
            batch, goes_on = self._next_batch()
        self._disconnect()
        self._call_loop(self._stopped.set_result, None)

    def _next_batch(self) -> tuple[list[Job], bool]:
        """Wait for jobs and return them, and whether more may come."""
        job = self._first_job()
        batch: list[Job] = []
        with contextlib.suppress(queue.Empty):
            while job is not None:
                batch.append(job)
                if len(batch) == MAX_BATCH:
                    return batch, True
                job = self._queue.get_nowait()
            return batch, False
        return batch, True

    def _first_job(self) -> Job | None:
        if self._log_pages >= IDLE_CHECKPOINT_PAGES:
            try:
                return self._queue.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                self._checkpoint()
        return self._queue.get()

    def _write(self, batch: Sequence[Job]) -> None:
        jobs = [job for job in batch if not job.waiter.cancelled()]
        commit_seconds = None
        try:
            outcomes, commit_seconds = self._commit(jobs) if jobs else ([], None)
        except BaseException as error:  # noqa: BLE001  whatever it is, somebody waits for an answer
            self._distrust()
            _logger.warning("a batch of %d writes failed: %s", len(jobs), error)
            outcomes = [Outcome(None, _unavailable(error)) for _ in jobs]
        self._call_loop(self._deliver, jobs, outcomes, len(batch), commit_seconds)

    def _commit(self, jobs: Sequence[Job]) -> tuple[list[Outcome], float]:
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_run_program(connection, job.program) for job in jobs]
        started = time.perf_counter()
        connection.execute("COMMIT")
        return outcomes, time.perf_counter() - started

    def _connected(self) -> apsw.Connection:
        if self._connection is None or self._suspect:
            connection = self._connect()
            connection.set_wal_hook(self._note_log_pages)
            self._disconnect()
            self._connection = connection
            self._suspect = False
        return self._connection

    def _distrust(self) -> None:
        self._suspect = True
        # The lock is given back now; the connection itself lives until the next one is open.
        if self._connection is not None and not self._connection.get_autocommit():
            with contextlib.suppress(apsw.Error):
                self._connection.execute("ROLLBACK")

    def _disconnect(self) -> None:
        if self._connection is not None:
            close(self._connection)
            self._connection = None

    def _note_log_pages(self, _connection: apsw.Connection, _schema: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        # RESTART waits for the readers, which take microseconds, so that the next write begins the log anew; PASSIVE
        # left it growing for as long as some reader was in the way at that very moment.
        try:
            connection = self._connected()
            connection.set_busy_timeout(CHECKPOINT_BUSY_MILLISECONDS)
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
            connection.set_busy_timeout(WRITER_BUSY_MILLISECONDS)
            self._log_pages = 0
            self._checkpoint_due = FORCED_CHECKPOINT_PAGES
        except apsw.Error as error:
            # What was committed is safe in the log; only its copying is late. A foreign reader, or a disk that is
            # full, must not slow down every batch from now on.
            self._checkpoint_due = self._log_pages + FORCED_CHECKPOINT_PAGES
            _logger.warning("the write-ahead log could not be copied into the database: %s", error)
            self._distrust()

    def _call_loop(self, callback: Callable[..., object], *arguments: object) -> None:
        # A loop that was closed without closing the store has nobody left to tell.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _deliver(
        self, jobs: Sequence[Job], outcomes: Sequence[Outcome], taken: int, commit_seconds: float | None
    ) -> None:
        self.in_flight -= taken
        for job, outcome in zip(jobs, outcomes, strict=True):
            if not job.waiter.done():
                job.waiter.set_result(outcome)
        if commit_seconds is not None:
            self._observe("commit", commit_seconds)


def _run_program(connection: apsw.Connection, program: Callable[[SqlTransaction], Steps[object]]) -> Outcome:
    """Run the program in a savepoint; raise only if the whole batch is lost."""
    connection.execute("SAVEPOINT program")
    try:
        outcome = Outcome(drive(connection, program), None)
    except BaseException as error:
        # Some errors make SQLite roll back everything, and with it the programs before this one.
        if is_outage(error) or connection.get_autocommit():
            raise
        connection.execute("ROLLBACK TO program")
        outcome = Outcome(None, error)
    connection.execute("RELEASE program")
    return outcome


def _unavailable(error: BaseException) -> ServiceUnavailable:
    # One exception for each waiter: raising one object in many tasks would mix up their tracebacks.
    unavailable = ServiceUnavailable()
    # The cause's own traceback would keep the batch alive for as long as somebody keeps the exception.
    unavailable.__cause__ = error.with_traceback(None)
    return unavailable
