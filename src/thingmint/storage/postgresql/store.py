"""Owns the Store on PostgreSQL: a connection pool that recovers, retries and time limits. Runs any statement."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable, Throttled
from thingmint.records.steps import Program, Steps
from thingmint.records.write_check import check_write
from thingmint.storage.database_url import DatabaseURL, InvalidDatabaseURL
from thingmint.storage.dialect import POSTGRESQL
from thingmint.storage.postgresql.ending import end_politely, end_pool, give_back
from thingmint.storage.postgresql.servers import Servers
from thingmint.storage.postgresql.session import (
    COMMAND_SECONDS,
    CONNECT_SECONDS,
    Connection,
    drive,
    drive_single_select,
    is_outage,
    is_repeatable,
    read_in_snapshot,
    write_in_transaction,
)
from thingmint.storage.schema import is_current, migrate, migrations, require_current

T = TypeVar("T")

MAX_IN_FLIGHT = 1024
MAX_CONNECTIONS = 10
# The limit of waiting for a free connection or for opening one.
ACQUIRE_SECONDS = 5.0
ATTEMPTS = 4


class PostgreSQLStore:
    """Implements `registration.kernel.ports.Store`; belongs to the event loop and process that opened it."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        *,
        observe: Callable[[str, float], None],
        pooled_by_transaction: bool,
        max_in_flight: int,
    ) -> None:
        self._pool = pool
        self._observe = observe
        self._pooled_by_transaction = pooled_by_transaction
        self._max_in_flight = max_in_flight
        self._process_id = os.getpid()
        self._in_flight = 0
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()

    async def read(self, program: Program[T]) -> T:
        """Run a program that changes nothing."""

        async def attempt(connection: Connection) -> T:
            # A single statement needs no transaction for a consistent view; a program with more statements is run again
            # in a snapshot. Behind a transaction pooler, even one prepared statement needs a transaction.
            if not self._pooled_by_transaction:
                finished, result = await drive_single_select(connection, program)
                if finished:
                    return result[0]
            return await read_in_snapshot(connection, program)

        return await self._admitted("read", attempt)

    async def write(self, program: Program[T]) -> T:
        """Run a program in one transaction and return when its result is durable.

        Raises Throttled if too many wait already, ServiceUnavailable if the database is lost or the outcome unknown.
        """
        return await self._admitted(
            "write", lambda connection: write_in_transaction(connection, program, self._observe)
        )

    async def check(self) -> None:
        """Return if the database answers and can be written to; raise ServiceUnavailable otherwise."""
        self._require_open()
        # Not subject to the limit of write(), because a busy service is not a failed one.
        await self._counted("write", lambda connection: write_in_transaction(connection, check_write, self._observe))

    async def close(self) -> None:
        """Finish queued programs, then close the database."""
        self._require_own_process()
        self._closing = True
        # This ends, because every running step has a time limit.
        await self._idle.wait()
        await end_pool(self._pool, CONNECT_SECONDS)

    async def _admitted(self, kind: str, attempt: Callable[[Connection], Awaitable[T]]) -> T:
        self._require_open()
        if self._in_flight >= self._max_in_flight:
            raise Throttled
        return await self._counted(kind, attempt)

    async def _counted(self, kind: str, attempt: Callable[[Connection], Awaitable[T]]) -> T:
        self._in_flight += 1
        self._idle.clear()
        started = time.perf_counter()
        try:
            return await self._attempted(attempt)
        finally:
            self._observe(kind, time.perf_counter() - started)
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _attempted(self, attempt: Callable[[Connection], Awaitable[T]]) -> T:
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._on_connection(attempt)
            except Exception as error:
                if not is_outage(error):
                    raise
                if not is_repeatable(error) or attempts == ATTEMPTS:
                    raise ServiceUnavailable from error

    async def _on_connection(self, attempt: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            connection = await self._pool.acquire(timeout=ACQUIRE_SECONDS)
        except Exception as error:
            # The server is down, the password was changed, or the database is gone: an immediate retry would fail, too.
            raise ServiceUnavailable from error
        try:
            return await attempt(connection)
        finally:
            # An error when the connection returns to the pool does not affect the commit.
            await give_back(self._pool, connection, COMMAND_SECONDS)

    def _require_open(self) -> None:
        self._require_own_process()
        if self._closing:
            raise ServiceUnavailable

    def _require_own_process(self) -> None:
        # A forked process that used the inherited socket would get the answers of its parent.
        if os.getpid() != self._process_id:
            raise RuntimeError("a store does not serve a forked process")


async def open_postgresql(
    url: DatabaseURL,
    *,
    observe: Callable[[str, float], None],
    max_in_flight: int = MAX_IN_FLIGHT,
    max_connections: int = MAX_CONNECTIONS,
    may_migrate: bool = True,
) -> PostgreSQLStore:
    """Return a store on the database, which is migrated if ``may_migrate``.

    Raises ServiceUnavailable, DatabaseTooNew, DatabaseTooOld, InvalidDatabaseURL.
    """
    await (_migrate(url) if may_migrate else _require_migrated(url))
    # Connections to a server that another one has replaced are not used again: what they read may be out of date.
    servers = Servers(url, lambda: pool.expire_connections())
    pool = await asyncpg.create_pool(
        url.dsn,
        connect=servers.connect,
        # Connections are opened on demand, so the pool recovers by itself after an outage of the database.
        min_size=0,
        max_size=max_connections,
        command_timeout=COMMAND_SECONDS,
        statement_cache_size=url.statement_cache_size,
        reset=_leave_session,
    )
    return PostgreSQLStore(
        pool, observe=observe, pooled_by_transaction=url.statement_cache_size == 0, max_in_flight=max_in_flight
    )


async def _leave_session(_connection: object) -> None:
    # Settings are made with SET LOCAL, so a session has no state. The usual reset would cost a round trip a request.
    return


async def _migrate(url: DatabaseURL) -> None:
    connection = await first_connection(url)
    try:
        # The check whether the database is up to date needs neither the lock nor the right to create tables, and has
        # the time limits of requests. A migration of a large table may take minutes, so it has no limits.
        async with asyncio.timeout(COMMAND_SECONDS):
            current = await drive(connection, _is_current, read_only=True)
        if not current:
            async with connection.transaction():
                await drive(connection, lambda: migrate(POSTGRESQL, migrations()))
    except Exception as error:
        if not is_outage(error) and not isinstance(error, asyncpg.PostgresError):
            raise
        raise ServiceUnavailable(f"The database at {url.servers} cannot be migrated: {in_words(error)}") from error
    finally:
        await end_politely(connection, COMMAND_SECONDS)


async def _require_migrated(url: DatabaseURL) -> None:
    connection = await first_connection(url)
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            await drive(connection, _require_current, read_only=True)
    except Exception as error:
        if not is_outage(error) and not isinstance(error, asyncpg.PostgresError):
            raise
        raise ServiceUnavailable(f"The database at {url.servers} cannot be read: {in_words(error)}") from error
    finally:
        await end_politely(connection, COMMAND_SECONDS)


def _require_current() -> Steps[None]:
    return require_current(POSTGRESQL, migrations())


def _is_current() -> Steps[bool]:
    return is_current(POSTGRESQL, migrations())


async def first_connection(url: DatabaseURL) -> "asyncpg.Connection[asyncpg.Record]":
    """Return a connection outside of a pool; raise ServiceUnavailable, which names the server, InvalidDatabaseURL."""
    try:
        return await Servers(url).connect(statement_cache_size=url.statement_cache_size)
    except (ValueError, asyncpg.ClientConfigurationError):
        # The driver's message may quote the URL, and with it the password.
        raise InvalidDatabaseURL("the database URL cannot be read") from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise ServiceUnavailable(f"The database at {url.servers} cannot be reached: {in_words(error)}") from error
