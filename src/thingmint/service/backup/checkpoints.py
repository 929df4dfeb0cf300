"""Owns the reading of the log's checkpoint from what operators keep: files, exports, backups and databases."""

import contextlib
import sqlite3
from pathlib import Path

from thingmint.core.error_text import in_words
from thingmint.core.transparency.checkpoint import CheckpointInvalid
from thingmint.service.backup.container import BackupDamaged
from thingmint.service.backup.reading import checkpoint_of_backup
from thingmint.storage import SQLITE_FILE_NAME

_SQLITE_MAGIC = b"SQLite format 3\x00"
_MAX_CHECKPOINT_BYTES = 100_000


def checkpoint_of(path: Path) -> str:
    """Return the checkpoint in a file, a backup, an export, a data directory or a copy of a SQLite database.

    Raises CheckpointInvalid if there is none, or OSError.
    """
    if path.is_dir():
        inside = [path / name for name in ("checkpoint", SQLITE_FILE_NAME) if (path / name).is_file()]
        if not inside:
            raise CheckpointInvalid(f"{path} holds neither a checkpoint nor {SQLITE_FILE_NAME}")
        return checkpoint_of(inside[0])
    try:
        of_backup = checkpoint_of_backup(path)
    except BackupDamaged as error:
        raise CheckpointInvalid(f"{path}: {in_words(error)}") from error
    if of_backup is not None:
        return of_backup
    with path.open("rb") as file:
        begin = file.read(_MAX_CHECKPOINT_BYTES)
    if begin.startswith(_SQLITE_MAGIC):
        return _checkpoint_of_database(path)
    try:
        return begin.decode()
    except UnicodeDecodeError as error:
        raise CheckpointInvalid(f"{path} is neither a checkpoint nor a copy of a SQLite database") from error


def _checkpoint_of_database(path: Path) -> str:
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path.absolute()}?mode=ro", uri=True)) as database:
            row = database.execute("SELECT checkpoint FROM log_state WHERE id = 1").fetchone()
    except sqlite3.Error as error:
        raise CheckpointInvalid(f"{path} is not a readable database with a log") from error
    if row is None:
        raise CheckpointInvalid(f"{path} is a database without a log")
    return str(row[0])
