"""Owns the Store on one SQLite file: reads on the event loop, writes through the group commit. Runs any statement."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import apsw

from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.records.steps import Program
from thingmint.records.write_check import check_write
from thingmint.storage.schema import migrations
from thingmint.storage.sqlite.connection import connect, create, is_outage, require_migrated
from thingmint.storage.sqlite.group_commit import GroupCommit
from thingmint.storage.sqlite.reader import SQLiteReader

T = TypeVar("T")

MAX_IN_FLIGHT = 4096
CHECK_SECONDS = 10.0


class SQLiteStore:
    """Implements `registration.kernel.ports.Store`; belongs to the event loop and process that opened it."""

    def __init__(
        self, path: Path, *, observe: Callable[[str, float], None], vfs: str | None, max_in_flight: int
    ) -> None:
        self._path = path
        self._vfs = vfs
        self._observe = observe
        self._max_in_flight = max_in_flight
        self._process_id = os.getpid()
        self._reader: SQLiteReader | None = None
        self._writer = GroupCommit(lambda: connect(path, vfs=vfs), observe)

    async def read(self, program: Program[T]) -> T:
        """Run a program that changes nothing, on the event loop: a read takes less time than a change of threads."""
        # The checks of `_require_open`, without three calls for each read.
        if os.getpid() != self._process_id or self._writer.stopping:
            self._require_open()
        started = time.perf_counter()
        try:
            if self._reader is None:
                self._reader = SQLiteReader(connect(self._path, vfs=self._vfs, reader=True))
            return self._reader.run(program)
        except apsw.Error as error:
            if not is_outage(error):
                raise
            self._let_go_of_reader()
            raise ServiceUnavailable from error
        finally:
            self._observe("read", time.perf_counter() - started)

    async def write(self, program: Program[T]) -> T:
        """Run a program in one transaction and return when its result is durable.

        Raises Throttled if too many wait already, ServiceUnavailable if the database cannot be written to.
        """
        self._require_open()
        if self._writer.in_flight >= self._max_in_flight:
            raise Throttled
        return await self._submit(program)

    async def check(self) -> None:
        """Return if the database answers and can be written to; raise ServiceUnavailable otherwise."""
        self._require_open()
        try:
            # Not subject to the limit of write(), because a busy service is not a failed one.
            async with asyncio.timeout(CHECK_SECONDS):
                await self._submit(check_write)
        except TimeoutError as error:
            raise ServiceUnavailable from error

    async def close(self) -> None:
        """Finish queued programs, then close the database."""
        self._require_own_process()
        await self._writer.stop()
        self._let_go_of_reader()

    async def _submit(self, program: Program[T]) -> T:
        started = time.perf_counter()
        try:
            outcome = await self._writer.submit(program)
        finally:
            self._observe("write", time.perf_counter() - started)
        if outcome.error is not None:
            raise outcome.error
        return cast("T", outcome.result)

    def _require_open(self) -> None:
        self._require_own_process()
        if self._writer.stopping:
            raise ServiceUnavailable

    def _require_own_process(self) -> None:
        # A forked process has neither the writer's thread nor SQLite's locks, so its writes would corrupt the file.
        if os.getpid() != self._process_id:
            raise RuntimeError("a store does not serve a forked process")

    def _let_go_of_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None


async def open_sqlite(
    path: Path,
    *,
    observe: Callable[[str, float], None],
    vfs: str | None = None,
    max_in_flight: int = MAX_IN_FLIGHT,
    may_migrate: bool = True,
) -> SQLiteStore:
    """Return a store on the file, which is created and migrated if ``may_migrate``.

    Raises ServiceUnavailable if the file cannot be used, DatabaseTooNew, DatabaseTooOld.
    """
    await asyncio.to_thread(create if may_migrate else require_migrated, path, migrations(), vfs=vfs)
    return SQLiteStore(path, observe=observe, vfs=vfs, max_in_flight=max_in_flight)
