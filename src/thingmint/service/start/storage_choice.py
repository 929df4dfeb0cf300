"""Owns the check that the settings name the storage of the service on a data directory. Opens no database."""

from pathlib import Path

from thingmint.core.error_text import in_words
from thingmint.data_directory.handover import (
    POSTGRESQL,
    SQLITE,
    STORAGE,
    UsedStorage,
    read_storage,
    write_storage,
)
from thingmint.data_directory.moved_registry import RegistryMoved, require_not_moved
from thingmint.host.given_files import read_given_text
from thingmint.settings.config import Config, StartRefused
from thingmint.storage import (
    SQLITE_FILE_NAME,
    DatabaseOptions,
    DatabaseURL,
    InvalidDatabaseURL,
    parse_database_url,
)


def remember_storage(config: Config) -> None:
    """Write to the data directory which storage the service uses, without any secret."""
    if config.database_url is None:
        write_storage(config.data_dir, UsedStorage(SQLITE))
    else:
        write_storage(config.data_dir, UsedStorage(POSTGRESQL, parse_database_url(config.database_url).place))


def require_named_storage(config: Config) -> None:
    """Raise StartRefused if the registry is known to be in PostgreSQL and no URL is set.

    Without this check, the service would start on an empty SQLite database, or on the one from before a move, without
    the revocations since then.
    """
    if config.database_url is None:
        try:
            require_not_moved(config.data_dir)
        except RegistryMoved as error:
            raise StartRefused(in_words(error)) from error
    used = read_storage(config.data_dir)
    if config.database_url is None and used is not None and used.engine == POSTGRESQL:
        raise StartRefused(
            f"the registry of {config.data_dir} is in PostgreSQL at {used.place}: give --database-url, "
            f"THINGMINT_DATABASE_URL or database_url in {config.data_dir / 'thingmint.toml'}. To begin with an empty "
            f"one on SQLite, remove {config.data_dir / STORAGE} and {config.data_dir / 'credentials'}"
        )


def require_same_storage(config: Config) -> None:
    """Raise StartRefused if the settings name another database engine than the one that the service is known to use."""
    require_named_storage(config)
    used = read_storage(config.data_dir)
    if config.database_url is not None and used is not None and used.engine == SQLITE:
        raise StartRefused(
            f"the service on {config.data_dir} keeps its registry in {SQLITE_FILE_NAME} there, and database_url names "
            "PostgreSQL: leave it out, or start the service with it first"
        )


def database_options(config: Config) -> DatabaseOptions:
    """Return the options for PostgreSQL; raise StartRefused if the password cannot be read."""
    return DatabaseOptions(read_database_password(config), config.database_pool, config.database_statement_cache)


def database_place(config: Config) -> DatabaseURL | Path:
    """Return where the registry is: a PostgreSQL database or a SQLite file; raise StartRefused."""
    if config.database_url is None:
        return config.data_dir / SQLITE_FILE_NAME
    try:
        return database_options(config).parsed(config.database_url)
    except InvalidDatabaseURL as error:
        raise StartRefused(in_words(error)) from error


def read_database_password(config: Config) -> str | None:
    """Return the password of database_password_file, None if it is not set; raise StartRefused if it is unusable."""
    path = config.database_password_file
    if path is None:
        return None
    try:
        password = read_given_text(path).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StartRefused(f"database_password_file cannot be read: {in_words(error)}") from error
    if not password:
        raise StartRefused(f"database_password_file {path} is empty")
    return password
