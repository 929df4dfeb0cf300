"""Owns the order of writing to SQLite: batches of programs, one savepoint each, one commit; knows no SQL of them.

The statements of a batch run on the event loop: they take microseconds, and a thread that ran them would fight with the
loop over the interpreter at each of them. What waits for the disk or for another process, the commit above all, runs in
the writer's thread, and so do the programs of a batch that has kept the loop for long. Nothing is delivered before the
commit returned; an error of the database or its disk fails the whole batch.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import apsw

from thingmint.core.errors import ServiceUnavailable
from thingmint.host.words import in_words
from thingmint.records.steps import Program
from thingmint.storage.writer_connection import ProgramOutcome, WriterConnection
from thingmint.storage.writer_thread import WriterThread

_logger = logging.getLogger(__name__)

MAX_BATCH = 256
# How long the event loop may do nothing but write, for one batch: some fifty programs of the usual kind.
SLICE_SECONDS = 0.005
# How long nobody must have written before the log is copied.
IDLE_SECONDS = 0.25


class SubmittedProgram(NamedTuple):
    """A program and the future of its caller."""

    program: Program[object]
    waiter: asyncio.Future[ProgramOutcome]


class GroupCommit:
    """Writes what is submitted; belongs to the event loop that made it."""

    def __init__(self, connect: Callable[[], apsw.Connection], observe: Callable[[str, float], None]) -> None:
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[SubmittedProgram] = deque()
        self._arrived = asyncio.Event()
        self._stopping = False
        self.in_flight = 0
        self._connection = WriterConnection(connect)
        self._thread = WriterThread()
        self._task = asyncio.create_task(self._serve(), name="thingmint-writer")

    @property
    def stopping(self) -> bool:
        """Return whether stop() was called."""
        return self._stopping

    async def submit(self, program: Program[object]) -> ProgramOutcome:
        """Return what became of the program, once that is durable."""
        waiter: asyncio.Future[ProgramOutcome] = self._loop.create_future()
        self.in_flight += 1
        self._jobs.append(SubmittedProgram(program, waiter))
        self._arrived.set()
        return await waiter

    async def stop(self) -> None:
        """Finish what was submitted, then let go of the database; may be called more than once."""
        self._stopping = True
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
        """Wait for jobs and return them, or none if no more will come."""
        while not self._jobs and not self._stopping:
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
    """Go on with the steps, and return whether that was all of them."""
    end = time.perf_counter() + seconds
    return all(time.perf_counter() < end for _ in steps)


def _unavailable(error: BaseException) -> ServiceUnavailable:
    # One exception for each waiter: raising one object in many tasks would mix up their tracebacks.
    unavailable = ServiceUnavailable()
    # The cause's own traceback would keep the batch alive for as long as somebody keeps the exception.
    unavailable.__cause__ = error.with_traceback(None)
    return unavailable
