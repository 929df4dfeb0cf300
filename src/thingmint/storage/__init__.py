"""Owns the engines that run the statements of `records`, SQLite and PostgreSQL, and the migrations; decides nothing."""

from collections.abc import Callable
from pathlib import Path

from thingmint.registration.kernel.ports import Store
from thingmint.storage.database_url import InvalidDatabaseURL, has_password, parse_database_url
from thingmint.storage.schema import DatabaseTooNew
from thingmint.storage.sqlite import open_sqlite

__all__ = [
    "SQLITE_FILE_NAME",
    "DatabaseTooNew",
    "InvalidDatabaseURL",
    "has_password",
    "open_store",
    "parse_database_url",
]

SQLITE_FILE_NAME = "thingmint.sqlite"


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
