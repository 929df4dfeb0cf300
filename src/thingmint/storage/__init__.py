"""Owns the engines that run the statements of `records`, SQLite and PostgreSQL, and the migrations; decides nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from thingmint.registration.kernel.ports import Store
from thingmint.storage.database_url import (
    DEFAULT_STATEMENT_CACHE_SIZE,
    DatabaseURL,
    InvalidDatabaseURL,
    has_password,
    parse_database_url,
)
from thingmint.storage.schema import DatabaseTooNew
from thingmint.storage.sqlite import open_sqlite

__all__ = [
    "SQLITE_FILE_NAME",
    "DatabaseOptions",
    "DatabaseTooNew",
    "DatabaseURL",
    "InvalidDatabaseURL",
    "has_password",
    "listener_of",
    "open_store",
    "parse_database_url",
]

SQLITE_FILE_NAME = "thingmint.sqlite"


class DatabaseListener(Protocol):
    """Hears what the database tells."""

    async def run(self) -> None:
        """Listen until cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """How PostgreSQL is used. The password goes before one in the URL, the cache of statements after it."""

    password: str | None = field(default=None, repr=False)
    max_connections: int = 10
    statement_cache_size: int = DEFAULT_STATEMENT_CACHE_SIZE

    def parsed(self, database_url: str) -> DatabaseURL:
        """Return the URL with what belongs to it; raise InvalidDatabaseURL."""
        return parse_database_url(database_url, self.password, self.statement_cache_size)


def listener_of(
    database_url: str, heard: Mapping[str, Callable[[], None]], options: DatabaseOptions
) -> DatabaseListener | None:
    """Return what listens on channels of PostgreSQL; None behind a pooler by transaction, which passes nothing on."""
    from thingmint.storage.postgresql_listener import PostgreSQLListener

    url = options.parsed(database_url)
    return None if url.statement_cache_size == 0 else PostgreSQLListener(url, heard)


async def open_store(
    database_url: str | None,
    data_directory: Path,
    *,
    observe: Callable[[str, float], None],
    options: DatabaseOptions | None = None,
) -> Store:
    """Return a migrated store: on the PostgreSQL database if a URL is given, else on a file in the data directory.

    ``observe`` is told the seconds that each read, write and commit took.
    Raises ServiceUnavailable if the database cannot be used, DatabaseTooNew if a later version migrated it,
    InvalidDatabaseURL.
    """
    if database_url is not None:
        # Its driver takes a twentieth of a start, which most installations need not wait for.
        from thingmint.storage.postgresql import open_postgresql

        used = options or DatabaseOptions()
        return await open_postgresql(used.parsed(database_url), observe=observe, max_connections=used.max_connections)
    return await open_sqlite(data_directory / SQLITE_FILE_NAME, observe=observe)
