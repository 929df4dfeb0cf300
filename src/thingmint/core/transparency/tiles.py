"""Owns the tiles of C2SP's tlog-tiles: the hashes and entries of each tile, and its path.

A tile has up to 256 hashes of full subtrees of height ``8 * level``, 32 bytes each. An entry bundle has the entries of
the tile of level 0 with the same number, each after its length as two bytes, big-endian.
Source: https://c2sp.org/tlog-tiles
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from thingmint.core.transparency.merkle import HASH_BYTES, root_of

TILE_WIDTH = 256
TILE_HEIGHT = 8
# Two bytes of length before each entry.
MOST_BUNDLE_BYTES = TILE_WIDTH * (2 + 0xFFFF)
ENTRIES = "entries"
_MAX_LEVEL = 63

# A tree has fewer than 2^63 leaves, so the number of a tile has at most 17 digits. Storage keeps 64 bits.
_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile, or the bundle of entries of a tile of level 0, with this number and width."""

    level: int
    number: int
    width: int = TILE_WIDTH
    is_entries: bool = False

    @property
    def path(self) -> str:
        """The path below the log's prefix."""
        digits = f"{self.number:03}"
        digits = digits.zfill(-(-len(digits) // 3) * 3)
        *heads, last = [digits[at : at + 3] for at in range(0, len(digits), 3)]
        name = "/".join([*(f"x{head}" for head in heads), last])
        level = ENTRIES if self.is_entries else str(self.level)
        return f"tile/{level}/{name}" + ("" if self.width == TILE_WIDTH else f".p/{self.width}")


def tile_of_path(path: str) -> Tile | None:
    """Return the tile that the path names, or None. Each number has exactly one spelling."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    level, name, width = found.groups()
    tile = Tile(
        level=0 if level == ENTRIES else int(level),
        number=int(name.replace("x", "").replace("/", "")),
        width=TILE_WIDTH if width is None else int(width),
        is_entries=level == ENTRIES,
    )
    return tile if tile.level <= _MAX_LEVEL and tile.path == path else None


def width_of(level: int, number: int, size: int) -> int:
    """Return how many hashes this tile has in a tree of the size; 0 if there is no such tile."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - number * TILE_WIDTH))


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield every tile of a tree of the size, level by level."""
    level = 0
    while hashes := size >> (TILE_HEIGHT * level):
        for number in range(-(-hashes // TILE_WIDTH)):
            yield Tile(level, number, width_of(level, number, size))
        level += 1


def tile_of_subtree(height: int, number: int) -> tuple[int, int]:
    """Return level and number of the tile that has the hash of the full subtree, or the hashes to compute it from."""
    level = height // TILE_HEIGHT
    return level, number >> (TILE_HEIGHT - height % TILE_HEIGHT)


def subtree_hash(tiles: Mapping[tuple[int, int], bytes], height: int, number: int) -> bytes:
    """Return the hash of the full subtree from the tile that `tile_of_subtree` names; raise KeyError if it is missing.

    Raises ValueError if the tile has too few hashes.
    """
    tile = tiles[tile_of_subtree(height, number)]
    count = 1 << (height % TILE_HEIGHT)
    first = (number * count) % TILE_WIDTH
    hashes = split_hashes(tile[first * HASH_BYTES : (first + count) * HASH_BYTES])
    if len(hashes) != count:
        raise ValueError("a tile of the log is narrower than the size of the tree says")
    return root_of(hashes)


def split_hashes(tile: bytes) -> list[bytes]:
    """Return the hashes of a tile."""
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def bundle_of(entries: list[bytes]) -> bytes:
    """Return the bundle of the entries; raise OverflowError if an entry is longer than 65,535 bytes."""
    return b"".join([len(entry).to_bytes(2, "big") + entry for entry in entries])


def split_bundle(bundle: bytes) -> list[bytes]:
    """Return the entries of a bundle; raise ValueError if it is malformed."""
    entries, at = [], 0
    while at < len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        if end > len(bundle) or at + 2 > len(bundle):
            raise ValueError("a bundle of entries ends inside of an entry")
        entries.append(bundle[at + 2 : end])
        at = end
    return entries
