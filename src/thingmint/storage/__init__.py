"""Owns where certificates, access keys and the audit trail are kept, on SQLite or PostgreSQL; decides nothing."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from thingmint.registration.kernel.ports import Store
from thingmint.storage.database_url import InvalidDatabaseURL, has_password, parse_database_url
from thingmint.storage.schema import DatabaseTooNew
from thingmint.storage.sqlite import open_sqlite

__all__ = [
    "SQLITE_FILE_NAME",
    "DatabaseTooNew",
    "InvalidDatabaseURL",
    "has_password",
    "listener_of",
    "open_store",
    "parse_database_url",
]

SQLITE_FILE_NAME = "thingmint.sqlite"


class Listener(Protocol):
    """Hears what the database tells."""

    async def run(self) -> None:
        """Listen until cancelled."""
        ...


def listener_of(
    database_url: str, heard: Mapping[str, Callable[[], None]], password: str | None = None
) -> Listener | None:
    """Return what listens on channels of PostgreSQL; None behind a pooler by transaction, which passes nothing on."""
    from thingmint.storage.postgresql_listener import PostgreSQLListener

    url = parse_database_url(database_url, password)
    return None if url.statement_cache_size == 0 else PostgreSQLListener(url, heard)


async def open_store(
    database_url: str | None,
    data_directory: Path,
    *,
    observe: Callable[[str, float], None],
    password: str | None = None,
) -> Store:
    """Return a migrated store: on the PostgreSQL database if a URL is given, else on a file in the data directory.

    ``password`` goes before one in the URL. ``observe`` is told the seconds that each read, write and commit took.
    Raises ServiceUnavailable if the database cannot be used, DatabaseTooNew if a later version migrated it,
    InvalidDatabaseURL.
    """
    if database_url is not None:
        # Its driver takes a twentieth of a start, which most installations need not wait for.
        from thingmint.storage.postgresql import open_postgresql

        return await open_postgresql(parse_database_url(database_url, password), observe=observe)
    return await open_sqlite(data_directory / SQLITE_FILE_NAME, observe=observe)
