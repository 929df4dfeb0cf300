"""Owns the reading of leaves after the end of a backup: from pages of the log, an export, or archived entries."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from thingmint.core.transparency.leaf import LoggedEntry
from thingmint.core.transparency.tiles import MOST_BUNDLE_BYTES, TILE_WIDTH, Tile, split_bundle
from thingmint.host.given_files import given_lines, read_given
from thingmint.registration.log.exported import LineUnreadable, entries_of_lines
from thingmint.registration.log.exporting import ENTRIES_FILE

_WITHOUT_LEAF = '{"index":null,'


class TailUnusable(Exception):
    """The leaves cannot be read, or do not continue from the backup; the message says why."""


def leaves_from(place: Path, first: int) -> Iterator[tuple[int, bytes, LoggedEntry | None]]:
    """Yield index and content of the leaves from index ``first`` on, and their entries if ``place`` has them.

    ``place`` is an export, a file of exported entries, or a folder with the pages of the log (``tile/entries/…``). Only
    pages are without entries. Raises TailUnusable, OSError.
    """
    expected = first
    for index, leaf, entry in _leaves(place, first):
        if index < first:
            continue
        if index != expected:
            raise TailUnusable(f"{place}: leaf {expected} is missing before leaf {index}")
        expected += 1
        yield index, leaf, entry


def _leaves(place: Path, first: int) -> Iterator[tuple[int, bytes, LoggedEntry | None]]:
    # An export has pages as well, which tell less.
    if (place / "tile" / "entries").is_dir() and not (place / ENTRIES_FILE).is_file():
        for index, leaf in _leaves_of_pages(place, first):
            yield index, leaf, None
        return
    lines = given_lines(place / ENTRIES_FILE if place.is_dir() else place)
    try:
        yield from entries_of_lines(line for line in lines if not line.startswith(_WITHOUT_LEAF))
    except (LineUnreadable, UnicodeDecodeError) as error:
        raise TailUnusable(f"{place} holds no entries of a log that can be read") from error


def _leaves_of_pages(place: Path, first: int) -> Iterator[tuple[int, bytes]]:
    for number in count(first // TILE_WIDTH):
        bundle = _widest(place, number)
        if bundle is None:
            return
        try:
            entries = split_bundle(read_given(bundle, MOST_BUNDLE_BYTES))
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
