"""Owns the order of migrations and the supported version of the schema. Independent of the engines' drivers."""

import logging
import re
from collections.abc import Iterator
from importlib import resources

from msgspec import Struct

from thingmint.core.errors import ServiceUnavailable
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps
from thingmint.storage.dialect import Dialect
from thingmint.storage.migration_code import AFTER

SCHEMA_VERSION = "SELECT coalesce(max(version), 0) FROM schema_version"

CREATE_SCHEMA_VERSION = "CREATE TABLE schema_version (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL)"

INSERT_SCHEMA_VERSION = "INSERT INTO schema_version (version, name) VALUES ($1, $2)"

_logger = logging.getLogger(__name__)

_FILE_NAME = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")
_COMMENT = re.compile(r"^--.*$", re.MULTILINE)


class DatabaseTooNew(ServiceUnavailable):
    """The database was migrated by a later version of Thingmint; this version would misread it."""


class DatabaseTooOld(ServiceUnavailable):
    """The database has an earlier schema, which only the start of a service may migrate."""


class Migration(Struct, frozen=True):
    """One step of the schema's history."""

    version: int
    name: str
    sql: str

    def statements(self, dialect: Dialect) -> Iterator[str]:
        """Yield the step's statements in the dialect."""
        for statement in _COMMENT.sub("", dialect.translate(self.sql)).split(";\n"):
            if statement.strip():
                yield statement.strip()


def migrations() -> tuple[Migration, ...]:
    """Return all migrations, oldest first."""
    folder = resources.files("thingmint.storage").joinpath("migrations")
    found = [
        Migration(int(match[1]), match[2], file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if (match := _FILE_NAME.fullmatch(file.name))
    ]
    return tuple(sorted(found, key=lambda migration: migration.version))


def migrate(dialect: Dialect, known: tuple[Migration, ...]) -> Steps[None]:
    """Migrate the schema to the last known migration, in one transaction.

    Raises DatabaseTooNew if the schema is past it.
    """
    if dialect.migration_lock is not None:
        yield from rows_of(dialect.migration_lock)
    version = yield from _version(dialect)
    _require_known(version, known)
    if 0 < version < known[-1].version:
        _logger.info("the database is migrated from schema version %d to %d", version, known[-1].version)
    for migration in known:
        if migration.version > version:
            for statement in migration.statements(dialect):
                yield from rows_of(statement)
            if migration.name in AFTER:
                yield from AFTER[migration.name]()
            yield from rows_of(INSERT_SCHEMA_VERSION, migration.version, migration.name)


def require_current(dialect: Dialect, known: tuple[Migration, ...]) -> Steps[None]:
    """Raise DatabaseTooOld or DatabaseTooNew unless the schema is at the last known migration; changes nothing."""
    exists = yield from row_of(dialect.schema_version_exists)
    if exists is None or not exists[0]:
        raise DatabaseTooOld(
            "The database has no tables of Thingmint: the service makes them at its start. If it has started before, "
            "correct the address of the database."
        )
    row = yield from row_of(SCHEMA_VERSION)
    version = int(row[0]) if row is not None else 0
    _require_known(version, known)
    if version < known[-1].version:
        raise DatabaseTooOld(
            f"The database has schema version {version}, this version of Thingmint needs {known[-1].version}. Use the "
            "version of the service that runs on it, or upgrade the service: it migrates the database at its start."
        )


def is_current(dialect: Dialect, known: tuple[Migration, ...]) -> Steps[bool]:
    """Return whether the schema is at the last known migration; changes nothing."""
    exists = yield from row_of(dialect.schema_version_exists)
    if exists is None or not exists[0]:
        return False
    row = yield from row_of(SCHEMA_VERSION)
    return row is not None and int(row[0]) == known[-1].version


def _require_known(version: int, known: tuple[Migration, ...]) -> None:
    if version > known[-1].version:
        raise DatabaseTooNew(
            f"The database has schema version {version}, this version of Thingmint understands up to "
            f"{known[-1].version}. Start the version that migrated it, or restore a backup from before."
        )


def _version(dialect: Dialect) -> Steps[int]:
    # Queried, not created "if not exists": a service whose role may not create tables must start on a migrated
    # database.
    exists = yield from row_of(dialect.schema_version_exists)
    if exists is None or not exists[0]:
        yield from rows_of(CREATE_SCHEMA_VERSION)
        return 0
    row = yield from row_of(SCHEMA_VERSION)
    return int(row[0]) if row is not None else 0
