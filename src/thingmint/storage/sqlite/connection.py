"""Owns the creation, opening and use of a SQLite file, and the classification of errors as outages. Uses no threads."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import apsw

from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable
from thingmint.records.statement import Statement, require_select
from thingmint.records.steps import Program
from thingmint.storage.dialect import SQLITE
from thingmint.storage.schema import Migration, migrate, require_current

T = TypeVar("T")

# How long a writer waits for the write lock of another process, such as the command line.
WRITER_BUSY_MILLISECONDS = 5000
# Reads run on the event loop; with WAL, they wait only during the recovery of a crashed writer's log.
READER_BUSY_MILLISECONDS = 250

_CACHE_KIBIBYTES = 4096
_LOG_BYTES_KEPT = 32 * 1024 * 1024

# Errors of a program's statement; every other error of SQLite concerns the file or the connection.
_FAULTS_OF_A_STATEMENT = (
    apsw.ConstraintError,
    apsw.SQLError,
    apsw.MismatchError,
    apsw.TooBigError,
    apsw.RangeError,
    apsw.BindingsError,
)


def is_outage(error: BaseException) -> bool:
    """Return whether the error is caused by the database, and not by the statement."""
    return isinstance(error, apsw.Error) and not isinstance(error, _FAULTS_OF_A_STATEMENT)


def create(path: Path, known: tuple[Migration, ...], *, vfs: str | None) -> None:
    """Create the database with mode 0600 if there is none, and migrate its schema to the newest version.

    Raises ServiceUnavailable if the file cannot be created, opened or written, DatabaseTooNew.
    """
    with _opened(path, vfs, creates=True) as connection:
        # Another program may have set another journal mode, which is stored in the file.
        if connection.pragma("journal_mode", "wal") != "wal":
            raise ServiceUnavailable("The database file cannot be used in write-ahead-log mode.")
        # The exclusive lock makes a second process wait until the schema is complete.
        transact(connection, "BEGIN EXCLUSIVE", lambda: migrate(SQLITE, known))


def require_migrated(path: Path, known: tuple[Migration, ...], *, vfs: str | None) -> None:
    """Raise DatabaseTooOld or DatabaseTooNew unless the schema is the newest; changes nothing.

    Raises ServiceUnavailable if the file cannot be opened.
    """
    with _opened(path, vfs) as connection:
        transact(connection, "BEGIN", lambda: require_current(SQLITE, known), read_only=True)


@contextlib.contextmanager
def _opened(path: Path, vfs: str | None, *, creates: bool = False) -> Iterator[apsw.Connection]:
    try:
        if creates:
            _create_file(path)
        connection = connect(path, vfs=vfs)
        try:
            yield connection
        finally:
            close(connection)
        # Closing the last connection has copied the log of an earlier process; the reason is in writer_connection.py.
        sync_directory(path.parent)
    except (apsw.Error, OSError) as error:
        raise ServiceUnavailable(f"The database {path} cannot be opened: {in_words(error)}") from error


def connect(path: Path, *, vfs: str | None, reader: bool = False) -> apsw.Connection:
    """Return a connection to an existing database; raise apsw.Error if it cannot be opened."""
    # Without SQLITE_OPEN_CREATE: if the file was deleted, this is an outage, and no empty registry is created.
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOMUTEX
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs, statementcachesize=64)
    try:
        _configure(connection, reader=reader)
    except BaseException:
        close(connection)
        raise
    return connection


def close(connection: apsw.Connection) -> None:
    """Close the connection in any state; an open transaction is rolled back."""
    with contextlib.suppress(apsw.Error):
        connection.close(True)


def transact(connection: apsw.Connection, begin: str, program: Program[T], *, read_only: bool = False) -> T:
    """Run the program in a transaction and commit it; roll it back if anything raises."""
    connection.execute(begin)
    try:
        result = drive(connection, program, read_only=read_only)
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
    return result


def roll_back(connection: apsw.Connection) -> None:
    """Roll back an open transaction, if there is one; never raises, so that the caller gets the original error."""
    # A failing disk may fail here, too. The connection is then reopened, which ends the transaction.
    with contextlib.suppress(apsw.Error):
        if not connection.get_autocommit():
            connection.execute("ROLLBACK")


def drive(connection: apsw.Connection, program: Program[T], *, read_only: bool = False) -> T:
    """Run the program's statements one after the other and return its result."""
    steps = program()
    try:
        statement = next(steps)
        while True:
            assert isinstance(statement, Statement)
            if read_only:
                require_select(statement)
            rows = connection.execute(SQLITE.translate(statement.sql), statement.parameters).fetchall()
            statement = steps.send(rows)
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        steps.close()


def _configure(connection: apsw.Connection, *, reader: bool) -> None:
    connection.set_busy_timeout(READER_BUSY_MILLISECONDS if reader else WRITER_BUSY_MILLISECONDS)
    # Otherwise the planner uses the values of parameters, and prepares such a statement again at every execution:
    # reading the policies of a device would take four times as long. No plan of our statements depends on a value.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    # The writer decides when checkpoints run.
    connection.wal_autocheckpoint(0)
    settings = {
        # With NORMAL, a power failure would lose the last acknowledged commits.
        "synchronous": "FULL",
        # Darwin's fsync does not flush the disk's cache; on other systems these two have no effect.
        "fullfsync": "ON",
        "checkpoint_fullfsync": "ON",
        "foreign_keys": "ON",
        "cache_size": -_CACHE_KIBIBYTES,
        # An I/O error in a memory map is a SIGBUS; with read() it is an error code.
        "mmap_size": 0,
        "temp_store": "MEMORY",
        "journal_size_limit": _LOG_BYTES_KEPT,
        "trusted_schema": "OFF",
        "query_only": "ON" if reader else "OFF",
    }
    for name, value in settings.items():
        connection.execute(f"PRAGMA {name} = {value}").fetchall()


def _create_file(path: Path) -> None:
    # SQLite gives the log and its index the mode of the database file.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, flags, 0o600))
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    # After a power failure, a file whose directory entry was not synced is lost, even if the file itself was synced.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
