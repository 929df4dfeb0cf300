"""Owns the tables of the log's tiles and of the audit entries of their leaves."""

import struct
from collections.abc import Sequence

from thingmint.core.transparency.tiles import TILE_WIDTH
from thingmint.records.statement import row_of, rows_of
from thingmint.records.steps import Steps

TILE = "SELECT hashes FROM log_tile WHERE level = $1 AND number = $2"

STORE_TILE = (
    "INSERT INTO log_tile (level, number, hashes) VALUES ($1, $2, $3) "
    "ON CONFLICT (level, number) DO UPDATE SET hashes = excluded.hashes"
)

TILES_FROM = "SELECT number, hashes FROM log_tile WHERE level = $1 AND number >= $2 ORDER BY number LIMIT $3"

BUNDLES_FROM = "SELECT number, positions FROM log_bundle WHERE number >= $1 ORDER BY number LIMIT $2"

BUNDLE = "SELECT positions FROM log_bundle WHERE number = $1"

STORE_BUNDLE = (
    "INSERT INTO log_bundle (number, first_position, last_position, positions) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (number) DO UPDATE SET first_position = excluded.first_position, "
    "last_position = excluded.last_position, positions = excluded.positions"
)

# Entries get leaves almost in the order of their positions, so the first bundles are the most likely ones.
BUNDLES_AROUND = (
    "SELECT number, positions FROM log_bundle WHERE last_position >= $1 AND first_position <= $2 "
    "ORDER BY last_position, number LIMIT $3 OFFSET $4"
)

_BUNDLES_AT_ONCE = 16
_POSITION_BYTES = 8


def tile(level: int, number: int) -> Steps[bytes | None]:
    """Return the hashes of the tile, or None if there is no such tile."""
    row = yield from row_of(TILE, level, number)
    return None if row is None else bytes(row[0])


def store_tile(level: int, number: int, hashes: bytes) -> Steps[None]:
    """Store the hashes of a tile, which has grown."""
    yield from rows_of(STORE_TILE, level, number, hashes)


def tiles_from(level: int, number: int, limit: int) -> Steps[Sequence[tuple[int, bytes]]]:
    """Return up to ``limit`` tiles of the level with their numbers, from this number on."""
    rows = yield from rows_of(TILES_FROM, level, number, limit)
    return [(row[0], bytes(row[1])) for row in rows]


def positions_of_bundle(number: int) -> Steps[Sequence[int]]:
    """Return the positions of the audit entries whose leaves are in the tile of level 0 with this number."""
    row = yield from row_of(BUNDLE, number)
    return () if row is None else _positions(bytes(row[0]))


def bundles_from(number: int, limit: int) -> Steps[Sequence[tuple[int, Sequence[int]]]]:
    """Return up to ``limit`` bundles (the positions of their audit entries) with their numbers, from this number on."""
    rows = yield from rows_of(BUNDLES_FROM, number, limit)
    return [(row[0], _positions(bytes(row[1]))) for row in rows]


def store_bundle(number: int, positions: Sequence[int]) -> Steps[None]:
    """Store the audit entries of a bundle's leaves, which has grown."""
    packed = struct.pack(f">{len(positions)}q", *positions)
    yield from rows_of(STORE_BUNDLE, number, min(positions), max(positions), packed)


def index_of_entry(position: int) -> Steps[int | None]:
    """Return the index of the leaf of the audit entry at this position, or None if it has none."""
    offset = 0
    while True:
        rows = yield from rows_of(BUNDLES_AROUND, position, position, _BUNDLES_AT_ONCE, offset)
        for number, packed in rows:
            positions = _positions(bytes(packed))
            if position in positions:
                return int(number) * TILE_WIDTH + positions.index(position)
        if len(rows) < _BUNDLES_AT_ONCE:
            return None
        offset += _BUNDLES_AT_ONCE


def _positions(packed: bytes) -> tuple[int, ...]:
    count = len(packed) // _POSITION_BYTES
    # Somebody may have cut the value by hand.
    return struct.unpack(f">{count}q", packed[: count * _POSITION_BYTES])
