"""Owns how a SQLite file is created, opened and driven, and which of its errors are outages; knows no threads."""

import contextlib
import os
from pathlib import Path
from typing import TypeVar

import apsw

from thingmint.core.errors import ServiceUnavailable
from thingmint.host.words import in_words
from thingmint.records.statement import Statement, require_select
from thingmint.records.steps import Program
from thingmint.storage.dialect import SQLITE
from thingmint.storage.schema import Migration, migrate

T = TypeVar("T")

# Another process (the command line, say) may hold the write lock this long before a writer gives up.
WRITER_BUSY_MILLISECONDS = 5000
# Reads run on the event loop; WAL keeps them from waiting except while a crashed writer's log is being recovered.
READER_BUSY_MILLISECONDS = 250

_CACHE_KIBIBYTES = 4096
_LOG_BYTES_KEPT = 32 * 1024 * 1024

# What one program's own statement can do wrong; every other error of SQLite concerns the file or the connection.
_FAULTS_OF_A_STATEMENT = (
    apsw.ConstraintError,
    apsw.SQLError,
    apsw.MismatchError,
    apsw.TooBigError,
    apsw.RangeError,
    apsw.BindingsError,
)


def is_outage(error: BaseException) -> bool:
    """Return whether the error concerns the database rather than the statement that met it."""
    return isinstance(error, apsw.Error) and not isinstance(error, _FAULTS_OF_A_STATEMENT)


def create(path: Path, known: tuple[Migration, ...], *, vfs: str | None) -> None:
    """Create the database if there is none, readable by its owner only, and bring its schema up to date.

    Raises ServiceUnavailable if the file cannot be created, opened or written, DatabaseTooNew.
    """
    try:
        _create_file(path)
        connection = connect(path, vfs=vfs)
        try:
            # A foreign program may have left another journal mode; WAL is a property of the file.
            if connection.pragma("journal_mode", "wal") != "wal":
                raise ServiceUnavailable("The database file cannot be used in write-ahead-log mode.")
            # The exclusive lock makes a second process wait until the schema is complete.
            transact(connection, "BEGIN EXCLUSIVE", lambda: migrate(SQLITE, known))
        finally:
            close(connection)
        # Closing the last connection copied the log that an earlier process left: group_commit.py says why.
        sync_directory(path.parent)
    except (apsw.Error, OSError) as error:
        raise ServiceUnavailable(f"The database {path} cannot be opened: {in_words(error)}") from error


def connect(path: Path, *, vfs: str | None, reader: bool = False) -> apsw.Connection:
    """Return a connection to an existing database; raise apsw.Error if it cannot be opened."""
    # Without SQLITE_OPEN_CREATE: a file that vanished is an outage, not a reason to begin an empty registry.
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
    """Run the program in a transaction of its own and commit it; roll it back if anything raises."""
    connection.execute(begin)
    try:
        result = drive(connection, program, read_only=read_only)
        connection.execute("COMMIT")
    except BaseException:
        roll_back(connection)
        raise
    return result


def roll_back(connection: apsw.Connection) -> None:
    """Undo an open transaction, if there is one; never raises, so that the error that led here stays the one told."""
    # A disk that fails may fail at this, too. The connection is opened anew then, and its transaction ends with it.
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
    # Otherwise the planner looks at the values of parameters, and prepares such a statement anew at every execution: to
    # read the policies of a device would take four times as long. No plan here hangs on a value.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    # Checkpoints are run by the writer at times of its own choosing.
    connection.wal_autocheckpoint(0)
    settings = {
        # NORMAL would lose the last acknowledged commits at a power cut.
        "synchronous": "FULL",
        # Darwin's fsync does not reach the disk; elsewhere these two say nothing.
        "fullfsync": "ON",
        "checkpoint_fullfsync": "ON",
        "foreign_keys": "ON",
        "cache_size": -_CACHE_KIBIBYTES,
        # An I/O error under a memory map is a SIGBUS; under read() it is an error code.
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
    # A file whose directory entry was never synced is gone after a power cut, however often the file itself was.
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
