"""Owns the appending of leaves to a tree of tiles, and its new root. Independent of storage."""

from collections.abc import Iterable, Mapping

from thingmint.core.transparency.merkle import HASH_BYTES, full_subtrees, root_of, span_hash
from thingmint.core.transparency.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    split_hashes,
    subtree_hash,
    tile_of_subtree,
    width_of,
)


class TreeDamaged(ValueError):
    """The stored tiles are not those of a tree of the stored size."""


def last_tiles(size: int) -> list[tuple[int, int]]:
    """Return level and number of each tile that an append to a tree of this size needs: the tiles that are not full."""
    numbers = [(level, (size >> (TILE_HEIGHT * level)) // TILE_WIDTH) for level in range(64 // TILE_HEIGHT)]
    return [(level, number) for level, number in numbers if width_of(level, number, size)]


class GrowingTree:
    """The end of a tree: its tiles that are not full, and the tiles that changed since it was loaded."""

    def __init__(self, size: int, tiles: Mapping[tuple[int, int], bytes]) -> None:
        """Take the tiles that `last_tiles` names; raise TreeDamaged if they do not belong to a tree of this size."""
        if any(len(tiles.get(each, b"")) != width_of(*each, size) * HASH_BYTES for each in last_tiles(size)):
            raise TreeDamaged(f"the tiles of the log do not have the hashes of a tree of {size} leaves")
        self.size = size
        self._tiles = {each: bytearray(tiles[each]) for each in last_tiles(size)}
        self._changed: set[tuple[int, int]] = set()

    def append(self, hashes: Iterable[bytes]) -> None:
        """Add leaves with these hashes."""
        for each in hashes:
            self._append(0, self.size, each)
            self.size += 1

    def root(self) -> bytes:
        """Return the root of the tree."""
        whole = (0, self.size)
        needed = {tile_of_subtree(height, number) for height, number in full_subtrees(whole)}
        tiles = {each: bytes(self._tiles[each]) for each in needed}
        return span_hash(whole, lambda height, number: subtree_hash(tiles, height, number))

    def changed(self) -> dict[tuple[int, int], bytes]:
        """Return the tiles that have grown since they were loaded, by level and number."""
        return {each: bytes(self._tiles[each]) for each in sorted(self._changed)}

    def _append(self, level: int, number: int, each: bytes) -> None:
        at = (level, number // TILE_WIDTH)
        tile = self._tiles.setdefault(at, bytearray())
        tile += each
        self._changed.add(at)
        if len(tile) == TILE_WIDTH * HASH_BYTES:
            self._append(level + 1, at[1], root_of(split_hashes(bytes(tile))))
