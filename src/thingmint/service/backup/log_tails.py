"""Owns the reading of leaves after the end of a backup: from pages of the log, an export, or archived entries."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from thingmint.core.transparency.tiles import TILE_WIDTH, Tile, split_bundle
from thingmint.registration.log.exported import LineUnreadable, leaves_of_lines
from thingmint.registration.log.exporting import ENTRIES_FILE

_WITHOUT_LEAF = '{"index":null,'


class TailUnusable(Exception):
    """The leaves cannot be read, or do not continue from the backup; the message says why."""


def leaves_from(place: Path, first: int) -> Iterator[tuple[int, bytes]]:
    """Yield index and content of the leaves from index ``first`` on; raise TailUnusable, OSError.

    ``place`` is a folder with the pages of the log (``tile/entries/…``), an export, or a file of exported entries.
    """
    expected = first
    for index, leaf in _leaves(place, first):
        if index < first:
            continue
        if index != expected:
            raise TailUnusable(f"{place}: leaf {expected} is missing before leaf {index}")
        expected += 1
        yield index, leaf


def _leaves(place: Path, first: int) -> Iterator[tuple[int, bytes]]:
    if (place / "tile" / "entries").is_dir():
        yield from _leaves_of_pages(place, first)
        return
    with (place / ENTRIES_FILE if place.is_dir() else place).open(encoding="utf-8") as lines:
        try:
            yield from leaves_of_lines(line for line in lines if not line.startswith(_WITHOUT_LEAF))
        except (LineUnreadable, UnicodeDecodeError) as error:
            raise TailUnusable(f"{place} holds no entries of a log that can be read") from error


def _leaves_of_pages(place: Path, first: int) -> Iterator[tuple[int, bytes]]:
    for number in count(first // TILE_WIDTH):
        bundle = _widest(place, number)
        if bundle is None:
            return
        try:
            entries = split_bundle(bundle.read_bytes())
        except ValueError as error:
            raise TailUnusable(f"{bundle} is not a page of the log's entries") from error
        yield from enumerate(entries, number * TILE_WIDTH)


def _widest(place: Path, number: int) -> Path | None:
    """Return the file that holds most entries of this page, None if there is none."""
    for width in range(TILE_WIDTH, 0, -1):
        path = place / Tile(0, number, width, is_entries=True).path
        if path.is_file():
            return path
    return None
