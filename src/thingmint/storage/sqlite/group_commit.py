"""Owns the order of writes to SQLite: batches of programs, each with a savepoint, and one commit for a batch.

The statements of a batch run on the event loop, because they take microseconds, and a thread would compete with the
loop for the interpreter lock at each of them. Work that waits for the disk or for another process, mainly the commit,
runs in the writer's thread. So do the remaining programs of a batch that has occupied the loop for long. No result is
delivered before the commit has returned; an error of the database or its disk fails the whole batch.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import apsw

from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable
from thingmint.records.steps import Program
from thingmint.storage.sqlite.writer_connection import ProgramOutcome, WriterConnection
from thingmint.storage.sqlite.writer_thread import WriterThread

_logger = logging.getLogger(__name__)

MAX_BATCH = 256
# How long one batch may occupy the event loop: some fifty usual programs.
SLICE_SECONDS = 0.005
# How long no write must have occurred before the log is copied.
IDLE_SECONDS = 0.25


class SubmittedProgram(NamedTuple):
    """A program and the future of its caller."""

    program: Program[object]
    waiter: asyncio.Future[ProgramOutcome]


class GroupCommit:
    """Writes submitted programs; belongs to the event loop that created it."""

    def __init__(self, connect: Callable[[], apsw.Connection], observe: Callable[[str, float], None]) -> None:
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[SubmittedProgram] = deque()
        self._arrived = asyncio.Event()
        self.stopping = False
        """Whether stop() was called."""
        self.in_flight = 0
        self._connection = WriterConnection(connect)
        self._thread = WriterThread()
        self._task = asyncio.create_task(self._serve(), name="thingmint-writer")

    async def submit(self, program: Program[object]) -> ProgramOutcome:
        """Return the program's outcome, once it is durable."""
        waiter: asyncio.Future[ProgramOutcome] = self._loop.create_future()
        self.in_flight += 1
        self._jobs.append(SubmittedProgram(program, waiter))
        self._arrived.set()
        return await waiter

    async def stop(self) -> None:
        """Finish all submitted programs, then close the database; may be called more than once."""
        self.stopping = True
        self._arrived.set()
        await asyncio.shield(self._task)

    async def _serve(self) -> None:
        while batch := await self._next_batch():
            await self._write(batch)
            if self._connection.must_copy_log:
                await self._thread.run(self._connection.copy_log)
        await self._thread.run(self._connection.close)
        self._thread.end()

    async def _next_batch(self) -> list[SubmittedProgram]:
        """Wait for programs and return them, or none after `stop`."""
        while not self._jobs and not self.stopping:
            await self._arrival()
        self._arrived.clear()
        return [self._jobs.popleft() for _ in range(min(len(self._jobs), MAX_BATCH))]

    async def _arrival(self) -> None:
        if not self._connection.may_copy_log:
            await self._arrived.wait()
            return
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._arrived.wait()
        except TimeoutError:
            await self._thread.run(self._connection.copy_log)

    async def _write(self, batch: Sequence[SubmittedProgram]) -> None:
        jobs = [job for job in batch if not job.waiter.cancelled()]
        commit_seconds = None
        try:
            outcomes, commit_seconds = await self._commit(jobs) if jobs else ([], None)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  a caller waits for the result, or for the error
            self._connection.distrust()
            _logger.warning("a batch of %d writes failed: %s", len(jobs), in_words(error))
            outcomes = [ProgramOutcome(None, _unavailable(error)) for _ in jobs]
        self.in_flight -= len(batch)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if not job.waiter.done():
                job.waiter.set_result(outcome)
        if commit_seconds is not None:
            self._observe("commit", commit_seconds)

    async def _commit(self, jobs: Sequence[SubmittedProgram]) -> tuple[list[ProgramOutcome], float]:
        connection, outcomes = self._connection, list[ProgramOutcome]()
        if not connection.begin_at_once():
            await self._thread.run(connection.begin)
        steps = connection.run((job.program for job in jobs), outcomes)
        if not _is_done_within(SLICE_SECONDS, steps):
            await self._thread.run(lambda: _is_done_within(math.inf, steps))
        return outcomes, await self._thread.run(connection.commit)


def _is_done_within(seconds: float, steps: Iterable[None]) -> bool:
    """Continue with the steps, and return whether all of them are done."""
    end = time.perf_counter() + seconds
    return all(time.perf_counter() < end for _ in steps)


def _unavailable(error: BaseException) -> ServiceUnavailable:
    # One exception for each waiting task: raising one object in several tasks would mix up their tracebacks.
    unavailable = ServiceUnavailable()
    # The traceback of the cause would keep the batch in memory for as long as a caller keeps the exception.
    unavailable.__cause__ = error.with_traceback(None)
    return unavailable
