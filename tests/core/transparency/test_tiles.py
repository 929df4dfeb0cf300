"""Tiles: their paths and widths as tlog-tiles gives them, and trees that grow in pieces of any size."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.transparency.growing_tree import GrowingTree, TreeDamaged, last_tiles
from thingmint.core.transparency.merkle import HASH_BYTES, leaf_hash, root_of, span_hash
from thingmint.core.transparency.tiles import (
    TILE_WIDTH,
    Tile,
    bundle_of,
    subtree_hash,
    tile_of_path,
    tiles_of,
    width_of,
)


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1_234_067), "tile/0/x001/x234/067"),
        (Tile(63, 999, 1), "tile/63/999.p/1"),
        (Tile(0, 1000, 255), "tile/0/x001/000.p/255"),
        (Tile(0, 12, 7, is_entries=True), "tile/entries/012.p/7"),
    ],
)
def test_paths_are_those_of_the_specification(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert tile_of_path(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/64/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/0/0",
        "tile/0/0000",
        "tile/0/x000/067",
        "tile/0/x001/67",
        "tile/0/001/234",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/",
        "tile/0/000/",
        "tile/data/000",
        "tile/0/٠٠٠",
        "tile/0/../checkpoint",
        "tile/0/x001/" + "x000/" * 5 + "000",
        "tile/entries/x001/" + "x000/" * 1500 + "000",
    ],
)
def test_other_spellings_name_no_tile(path: str) -> None:
    assert tile_of_path(path) is None


def test_the_tiles_of_a_tree_are_those_of_the_example_in_the_specification() -> None:
    tiles = list(tiles_of(70_000))
    assert len([tile for tile in tiles if tile.level == 0 and tile.width == TILE_WIDTH]) == 273
    assert [tile for tile in tiles if tile.width != TILE_WIDTH] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == []


def test_widths_are_those_of_a_tree_of_the_size() -> None:
    assert [width_of(0, 273, 70_000), width_of(0, 274, 70_000), width_of(1, 1, 70_000), width_of(3, 0, 70_000)] == [
        112,
        0,
        17,
        0,
    ]


@given(st.lists(st.integers(1, 700), min_size=1, max_size=12))
def test_a_tree_that_grows_in_pieces_has_the_root_and_the_tiles_of_the_whole(pieces: list[int]) -> None:
    stored: dict[tuple[int, int], bytes] = {}
    hashes: list[bytes] = []
    for piece in pieces:
        tree = GrowingTree(len(hashes), {each: stored[each] for each in last_tiles(len(hashes))})
        added = [leaf_hash(b"%d" % number) for number in range(len(hashes), len(hashes) + piece)]
        tree.append(added)
        hashes += added
        stored |= tree.changed()
        assert tree.size == len(hashes)
        assert tree.root() == root_of(hashes)
    widths = {each: len(tile) // HASH_BYTES for each, tile in stored.items()}
    assert widths == {(tile.level, tile.number): tile.width for tile in tiles_of(len(hashes))}
    whole = (0, len(hashes))
    assert span_hash(whole, lambda height, number: subtree_hash(stored, height, number)) == root_of(hashes)


def test_a_tree_of_three_levels_has_the_root_of_its_leaves() -> None:
    hashes = [leaf_hash(b"%d" % number) for number in range(65_536 + 300)]
    tree = GrowingTree(0, {})
    tree.append(hashes[:65_536])
    assert tree.root() == root_of(hashes[:65_536])
    tree.append(hashes[65_536:])
    assert tree.root() == root_of(hashes)
    assert set(dict.fromkeys(level for level, _ in tree.changed())) == {0, 1, 2}


def test_an_empty_tree_needs_no_tile() -> None:
    assert last_tiles(0) == []
    assert GrowingTree(0, {}).root() == root_of([])


@pytest.mark.parametrize("tile", [b"", bytes(32), bytes(96)])
def test_tiles_of_another_tree_are_not_continued(tile: bytes) -> None:
    with pytest.raises(TreeDamaged, match="a tree of 2 leaves"):
        GrowingTree(2, {(0, 0): tile})


def test_a_tile_that_is_too_narrow_gives_no_hash() -> None:
    with pytest.raises(ValueError, match="narrower"):
        subtree_hash({(0, 0): bytes(32)}, 1, 0)


def test_bundles_have_the_length_before_each_entry() -> None:
    assert bundle_of([b"", b"ab"]) == b"\x00\x00\x00\x02ab"
    assert bundle_of([bytes(65_535)])[:2] == b"\xff\xff"
    with pytest.raises(OverflowError):
        bundle_of([bytes(65_536)])


def test_numbers_of_any_size_have_one_path() -> None:
    paths = [Tile(0, number).path for number in itertools.chain(range(2500), (999_999, 1_000_000, 10**12))]
    assert len(set(paths)) == len(paths)
    assert [tile_of_path(path) for path in paths[-3:]] == [Tile(0, 999_999), Tile(0, 1_000_000), Tile(0, 10**12)]
