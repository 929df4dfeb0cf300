"""Owns the export for auditors: checkpoint, tiles, entries and certificates of one snapshot. Does not write files."""

from collections.abc import Iterator
from typing import Protocol

from thingmint.core.transparency.leaf import LoggedEntry, leaf_of, salt_of
from thingmint.core.transparency.merkle import HASH_BYTES
from thingmint.core.transparency.tiles import TILE_WIDTH, Tile, bundle_of, tiles_of
from thingmint.records.log import entries as entry_table
from thingmint.records.log.registry_rows import TABLES
from thingmint.records.log.state import LogState, newest_position
from thingmint.records.log.tiles import tile
from thingmint.records.steps import Steps
from thingmint.registration.log.exported import line_of_entry, line_of_row
from thingmint.registration.log.reading import entries_of_bundle, present_state

_PAGE = 500
ENTRIES_FILE, REGISTRY_FILE = "entries.jsonl", "registry.jsonl"


class ExportTarget(Protocol):
    """The target of an export. A store can run a program again from its start, which empties the folder first."""

    def empty(self) -> None:
        """Remove everything that this export has written."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Write a file."""
        ...

    def add(self, path: str, line: str) -> None:
        """Add a line to a file."""
        ...


def export(secret: bytes, folder: ExportTarget) -> Steps[int]:
    """Write everything that an auditor needs; return the size of the tree. Raise ResourceNotFound if there is no log.

    The files below ``tile/`` and ``checkpoint`` are those of C2SP's tlog-tiles.
    """
    folder.empty()
    state = yield from present_state()
    folder.write("checkpoint", state.checkpoint.encode())
    folder.write("key", f"{state.key.text}\n".encode())
    folder.write(ENTRIES_FILE, b"")
    folder.write(REGISTRY_FILE, b"")
    for each in tiles_of(state.size):
        hashes = (yield from tile(each.level, each.number)) or b""
        folder.write(each.path, hashes[: each.width * HASH_BYTES])
    yield from _bundles(secret, state, folder)
    yield from _entries_without_leaf(secret, state, folder)
    for rows_from in TABLES:
        position = 0
        while rows := (yield from rows_from(position, _PAGE)):
            for row in rows:
                folder.add(REGISTRY_FILE, line_of_row(row))
            position = rows[-1].position
    return state.size


def _bundles(secret: bytes, state: LogState, folder: ExportTarget) -> Steps[None]:
    for bundle in _bundles_of(state.size):
        entries = (yield from entries_of_bundle(bundle.number))[: bundle.width]
        present = [entry for entry in entries if entry is not None]
        if len(present) == bundle.width:
            contents = [leaf_of(entry, salt_of(secret, entry.position)) for entry in present]
            folder.write(bundle.path, bundle_of(contents))
        for offset, entry in enumerate(entries):
            if entry is not None:
                index = bundle.number * TILE_WIDTH + offset
                folder.add(ENTRIES_FILE, line_of_entry(index, entry, secret))


def _bundles_of(size: int) -> Iterator[Tile]:
    return (Tile(0, each.number, each.width, is_entries=True) for each in tiles_of(size) if each.level == 0)


def _entries_without_leaf(secret: bytes, state: LogState, folder: ExportTarget) -> Steps[None]:
    late: list[LoggedEntry] = []
    for position in (yield from entry_table.gaps()):
        late += yield from entry_table.entries_between(position, position, 1)
    position, newest = state.position, (yield from newest_position())
    while page := (yield from entry_table.entries_between(position + 1, newest, _PAGE)):
        late += page
        position = page[-1].position
    for entry in sorted(late, key=lambda each: each.position):
        folder.add(ENTRIES_FILE, line_of_entry(None, entry, secret))
