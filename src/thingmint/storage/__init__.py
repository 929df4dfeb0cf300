"""Owns the engines that run the statements of `records`, SQLite and PostgreSQL, and the migrations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from thingmint.records.steps import Program
from thingmint.storage.database_url import (
    DEFAULT_STATEMENT_CACHE_SIZE,
    DatabaseURL,
    InvalidDatabaseURL,
    parse_database_url,
)
from thingmint.storage.schema import DatabaseTooNew, DatabaseTooOld
from thingmint.storage.sqlite.store import open_sqlite

__all__ = [
    "SQLITE_FILE_NAME",
    "DatabaseOptions",
    "DatabaseTooNew",
    "DatabaseTooOld",
    "DatabaseURL",
    "InvalidDatabaseURL",
    "listener_of",
    "open_store",
    "parse_database_url",
]

T = TypeVar("T")

SQLITE_FILE_NAME = "thingmint.sqlite"


class DatabaseListener(Protocol):
    """Receives the notifications of the database."""

    async def run(self) -> None:
        """Listen until cancelled."""
        ...


class DatabaseStore(Protocol):
    """A store on either engine; implements `registration.kernel.ports.Store`."""

    async def read(self, program: Program[T]) -> T:
        """Run a read-only program."""
        ...

    async def write(self, program: Program[T]) -> T:
        """Run a program in one transaction and return its result once it is durable."""
        ...

    async def check(self) -> None:
        """Raise ServiceUnavailable unless the database answers and is writable."""
        ...

    async def close(self) -> None:
        """Finish queued programs, then close the database."""
        ...


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """Options for PostgreSQL. The password takes precedence over the URL's; the URL's statement cache over this one."""

    password: str | None = field(default=None, repr=False)
    max_connections: int = 10
    statement_cache_size: int = DEFAULT_STATEMENT_CACHE_SIZE

    def parsed(self, database_url: str) -> DatabaseURL:
        """Return the parsed URL with these options; raise InvalidDatabaseURL."""
        return parse_database_url(database_url, self.password, self.statement_cache_size)


def listener_of(
    database_url: str, heard: Mapping[str, Callable[[], None]], options: DatabaseOptions
) -> DatabaseListener | None:
    """Return the listener on PostgreSQL's channels; None behind a transaction pooler, which drops notifications."""
    from thingmint.storage.postgresql.listener import PostgreSQLListener

    url = options.parsed(database_url)
    return None if url.statement_cache_size == 0 else PostgreSQLListener(url, heard)


async def open_store(
    database_url: str | None,
    data_directory: Path,
    *,
    observe: Callable[[str, float], None],
    options: DatabaseOptions | None = None,
    may_migrate: bool = True,
) -> DatabaseStore:
    """Return a store: on the PostgreSQL database if a URL is given, else on a file in the data directory.

    ``observe`` receives the seconds that each read, write and commit took. ``may_migrate``: create and migrate what is
    missing; otherwise nothing is changed.
    Raises ServiceUnavailable if the database cannot be used, DatabaseTooNew if a later version migrated it,
    DatabaseTooOld if it is not migrated and may not be, InvalidDatabaseURL.
    """
    if database_url is not None:
        # Importing the driver takes a twentieth of a start, and most installations do not need it.
        from thingmint.storage.postgresql.store import open_postgresql

        used = options or DatabaseOptions()
        return await open_postgresql(
            used.parsed(database_url),
            observe=observe,
            max_connections=used.max_connections,
            may_migrate=may_migrate,
        )
    return await open_sqlite(data_directory / SQLITE_FILE_NAME, observe=observe, may_migrate=may_migrate)
