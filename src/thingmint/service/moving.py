"""Owns the move of a stopped service's registry from SQLite to PostgreSQL: copy, comparison, and mark.

The copy is one transaction. So an interrupted move leaves either nothing or all rows without the mark. In both cases
the same command continues: it copies again, or compares the rows and sets the mark.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.data_directory.files import held
from thingmint.data_directory.moved_registry import MoveMark, RegistryMoved, require_not_moved, set_move_mark
from thingmint.records.clock import postgresql_time
from thingmint.service.backup.contents import lines_of_rows
from thingmint.service.start.storage_choice import database_place, remember_storage
from thingmint.settings.config import Config, StartRefused
from thingmint.storage import SQLITE_FILE_NAME, DatabaseURL, InvalidDatabaseURL
from thingmint.storage.copying import CopySource, copy_all, open_snapshot, open_target
from thingmint.storage.sqlite.copied_tables import (
    CHANGED_COLUMNS,
    CHANGED_TABLES,
    CopiedTable,
    TargetNotEmpty,
    copied_tables,
    newest_version,
)

Progress = Callable[[str, str, int], None]
"""Receives the step (``copied`` or ``compared``), the table, and the number of its rows."""

_MODULUS: Final = 1 << 256


class MoveFailed(ThingmintError):
    """The rows in PostgreSQL differ from those in SQLite; the directory was not marked."""


class TableSum(Struct, frozen=True):
    """The number of a table's rows, and the sum of their SHA-256 modulo 2²⁵⁶, which does not depend on their order."""

    rows: int
    digest: int

    def __str__(self) -> str:
        return f"{self.digest:064x}"


class MovedRegistry(Struct, frozen=True):
    """Where the registry is now, and the sum of each compared table by its name."""

    place: str
    tables: Mapping[str, TableSum]


async def move_registry(config: Config, progress: Progress) -> MovedRegistry:
    """Copy the registry to the empty database of ``database_url``, compare both, and mark the directory as moved.

    The SQLite database is not changed. Raises StartRefused if the move cannot begin, DirectoryInUse while a service
    runs, MoveFailed if the databases differ, ServiceUnavailable, OSError.
    """
    target = database_place(config)
    if not isinstance(target, DatabaseURL):
        raise StartRefused("a move needs database_url: the empty PostgreSQL database that the registry is moved to")
    source_file = config.data_dir / SQLITE_FILE_NAME
    if not source_file.exists():
        raise StartRefused(f"{config.data_dir} has no {SQLITE_FILE_NAME}: there is nothing to move")
    with held(config.data_dir, "thingmint move"):
        _require_unmoved(config.data_dir)
        try:
            tables = await _copied_and_compared(source_file, target, progress)
        except InvalidDatabaseURL as error:
            raise StartRefused(in_words(error)) from error
        async with open_snapshot(target) as there:
            now = await there.read(postgresql_time)
        set_move_mark(config.data_dir, MoveMark(target.place, now.isoformat(timespec="seconds")))
        remember_storage(config)
    return MovedRegistry(target.place, tables)


def _require_unmoved(data_dir: Path) -> None:
    try:
        require_not_moved(data_dir)
    except RegistryMoved as error:
        raise StartRefused(in_words(error)) from error


async def _copied_and_compared(source_file: Path, target: DatabaseURL, progress: Progress) -> Mapping[str, TableSum]:
    async with open_snapshot(source_file) as here:
        if here.schema_version != newest_version():
            raise StartRefused(
                f"the database has schema version {here.schema_version}, this version of Thingmint has "
                f"{newest_version()}: start `thingmint serve` once on it, which migrates it, and stop it again"
            )
        refused = None
        try:
            async with open_target(target, here.schema_version) as filled:
                await copy_all(here, filled, lambda table, rows: progress("copied", table, rows))
        except TargetNotEmpty as error:
            # An earlier move may have been interrupted between its commit and the mark.
            refused = error
        async with open_snapshot(target) as there:
            sums = {}
            for table in _compared_tables():
                sums[table.name] = await sum_of(here, table, progress)
                if await sum_of(there, table, progress) != sums[table.name]:
                    raise _differs(table, target, refused)
        return sums


def _differs(table: CopiedTable, target: DatabaseURL, refused: TargetNotEmpty | None) -> ThingmintError | StartRefused:
    if refused is not None:
        return StartRefused(f"{target.place} holds something else than this registry: {in_words(refused)}")
    return MoveFailed(
        f"The table {table.name} in {target.place} is not the one in SQLite. Nothing was marked: drop that database, "
        "and look for what else writes to it"
    )


def _compared_tables() -> tuple[CopiedTable, ...]:
    return tuple([each for each in copied_tables(newest_version()) if each.name not in CHANGED_TABLES])


async def sum_of(source: CopySource, table: CopiedTable, progress: Progress) -> TableSum:
    """Return the sum of a table's rows, which does not depend on their order or on the engine."""
    own = CHANGED_COLUMNS.get(table.name)
    left_out = None if own is None else table.columns.index(own)
    rows, digest = 0, 0
    async for batch in source.rows(table):
        if left_out is not None:
            batch = [[*row[:left_out], None, *row[left_out + 1 :]] for row in batch]
        for line in lines_of_rows(table, batch):
            digest += int.from_bytes(hashlib.sha256(line).digest())
        rows, digest = rows + len(batch), digest % _MODULUS
        progress("compared", table.name, rows)
    return TableSum(rows, digest)
