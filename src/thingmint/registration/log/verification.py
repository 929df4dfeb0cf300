"""Owns the verification of the log with itself, the audit trail and the registry. Reports each row that does not agree.

Only the checkpoint is signed. The tiles must result in its root, the audit entries in the tiles, and the certificates
of the registry must agree with the entries. Everything is read from one snapshot.
"""

from collections.abc import Mapping, Sequence
from itertools import count

from thingmint.core.errors import ResourceNotFound, ServiceUnavailable
from thingmint.core.transparency.checkpoint import origin_of
from thingmint.core.transparency.leaf_hashes import BareEntry, EntryUnreadable, LeafHashes, StatusChange
from thingmint.core.transparency.merkle import HASH_BYTES, leaf_hash, root_of
from thingmint.core.transparency.replay import Replay
from thingmint.core.transparency.tiles import TILE_HEIGHT, TILE_WIDTH, split_hashes, width_of
from thingmint.records.log import entries as entry_table
from thingmint.records.log.foreign_values import foreign_values
from thingmint.records.log.predecessors import predecessors
from thingmint.records.log.registry_rows import TABLES
from thingmint.records.log.state import LogState, newest_position
from thingmint.records.log.tiles import bundles_from, tiles_from
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.reading import present_state, root_at
from thingmint.registration.log.verified import MAX_FINDINGS, ArchivedLeaves, Evidence, Verified

_PAGE = 500
_TILES_AT_ONCE = 16
# Most entries of adjacent bundles have close positions. The others are read one by one.
_NEIGHBOURS = 4 * _TILES_AT_ONCE * TILE_WIDTH


class RowsUnreadable(ServiceUnavailable):
    """Rows have values that cannot be read. Each line of the message names one; only SQLite can store such values."""


async def verify_store(store: Store, evidence: Evidence) -> Verified:
    """Return what `verify` returns; raise what it raises, and RowsUnreadable."""
    try:
        return await store.read(lambda: verify(evidence))
    # What reading a value of another type, or text that is not UTF-8, results in. Looking for such values before each
    # verification would read every row twice.
    except (TypeError, AttributeError, ValueError, OverflowError) as error:
        found = await store.read(_unreadable)
        if not found:
            raise
        raise RowsUnreadable("\n".join(found)) from error


def _unreadable() -> Steps[list[str]]:
    # An engine whose transactions overlap keeps the types of columns.
    if (yield from entry_table.open_transactions()) is not None:
        return []
    return (yield from foreign_values(MAX_FINDINGS))


def verify(evidence: Evidence) -> Steps[Verified]:
    """Return the result, with a finding for each disagreement.

    Raises ResourceNotFound if there is no log, or its tree is not complete; CheckpointInvalid if the log's key has not
    signed a checkpoint.
    """
    state = yield from present_state()
    head = evidence.checkpoint(state.checkpoint, state.key).head
    verified = Verified(state.key, head, state.pruned)
    if head.size != state.size:
        verified.find(f"log_state: was changed: its size is {state.size}, its checkpoint says {head.size}")
    if state.pruned not in range(0, head.size + 1, TILE_WIDTH):
        verified.find(f"log_state: was changed: {state.pruned} leaves cannot be pruned of {head.size}")
    leaves = _Leaves(evidence, state, verified)
    yield from leaves.follow_all()
    yield from _tiles(verified)
    yield from _earlier(evidence, verified)
    yield from leaves.find_others()
    yield from _registry(evidence, verified, leaves.replay, is_whole=leaves.are_whole)
    verified.reactivations = leaves.replay.reactivations
    return verified


class _Leaves:
    """Compares the audit entries with the tiles of level 0, and replays them. Holds some tiles' entries at a time."""

    def __init__(self, evidence: Evidence, state: LogState, verified: Verified) -> None:
        self._evidence = evidence
        self._state = state
        self._verified = verified
        self._archived = ArchivedLeaves(evidence.archive())
        self._hashes = LeafHashes(evidence.secret)
        self._entries = 0
        self._newest = 0
        self.replay = Replay()
        self.are_whole = True

    def follow_all(self) -> Steps[None]:
        """Replay every leaf of the tree."""
        size = self._verified.head.size
        count = -(-size // TILE_WIDTH)
        for first in range(0, count, _TILES_AT_ONCE):
            tiles = dict((yield from tiles_from(0, first, _TILES_AT_ONCE)))
            bundles = dict((yield from bundles_from(first, _TILES_AT_ONCE)))
            numbers = range(first, min(first + _TILES_AT_ONCE, count))
            entries = yield from _entries_at([each for number in numbers for each in bundles.get(number, ())])
            for number in numbers:
                width = width_of(0, number, size)
                expected, positions = tiles.get(number, b"")[: width * HASH_BYTES], bundles.get(number, ())[:width]
                self._newest = max(self._newest, max(positions, default=0))
                rows = [entries.get(position) for position in positions]
                self._entries += len(rows) - rows.count(None)
                if not self._follow_tile(number * TILE_WIDTH, width, rows, expected):
                    self._follow_leaves(number, width, rows, positions, expected)
                self._evidence.progress(number * TILE_WIDTH + width, size)

    def _follow_tile(self, index: int, width: int, rows: Sequence[BareEntry | None], expected: bytes) -> bool:
        """Replay the leaves of a tile, and return True, if all its entries exist and have the hashes of the tile."""
        present = [row for row in rows if row is not None]
        if len(present) != width:
            return False
        try:
            hashes, changes = self._hashes.of(present)
        except EntryUnreadable:
            return False
        if b"".join(hashes) != expected:
            return False
        self.replay.apply_all(count(index), changes)
        return True

    def _follow_leaves(
        self, number: int, width: int, rows: Sequence[BareEntry | None], positions: Sequence[int], tile: bytes
    ) -> None:
        for offset in range(width):
            expected = tile[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]
            row = rows[offset] if offset < len(rows) else None
            index = number * TILE_WIDTH + offset
            if not self._follow(index, row, expected):
                named = f"audit entry {positions[offset]}" if offset < len(positions) else f"log_bundle {number}"
                self._verified.find(f"{named}: was removed: it is leaf {index} of the log")

    def _follow(self, index: int, row: BareEntry | None, expected: bytes) -> bool:
        """Replay one leaf; return whether its entry exists or was pruned."""
        if row is not None:
            found, changes = self._hash(row)
            if found == expected:
                self.replay.apply_all((index,), changes)
                return True
            named = f"audit entry {row[0]}"
        else:
            leaf = self._archived.leaf(index)
            if leaf is None:
                self.are_whole = False
                return index < self._state.pruned
            if leaf_hash(leaf) == expected:
                self.replay.apply(index, leaf)
                return True
            named = f"archived entry of leaf {index}"
        self.are_whole = False
        self._verified.find(f"{named}: was changed: leaf {index} of the log has another hash")
        return True

    def _hash(self, row: BareEntry) -> tuple[bytes, Sequence[StatusChange | None]]:
        try:
            (found,), changes = self._hashes.of((row,))
        except EntryUnreadable:
            # No leaf has this hash.
            return b"", ()
        return found, changes

    def find_others(self) -> Steps[None]:
        """Replay the entries that have no leaf yet, and find those that will never get one."""
        if self._newest != self._state.position:
            named = f"its position is {self._state.position}, the newest leaf is of audit entry {self._newest}"
            self._verified.find(f"log_state: was changed: {named}")
        waiting = yield from entry_table.gaps()
        late: list[BareEntry] = []
        for position in waiting:
            late += yield from entry_table.bare_entries_between(position, position, 1)
        if (yield from entry_table.count_entries(self._state.position)) != self._entries + len(late):
            yield from self._find_inserted(set(waiting))
        position, newest = self._state.position, (yield from newest_position())
        while position < newest:
            page = yield from entry_table.bare_entries_between(position + 1, newest, _PAGE)
            late += page
            position = page[-1][0]
        for row in sorted(late, key=lambda each: each[0]):
            found, changes = self._hash(row)
            if not found:
                self._verified.find(f"audit entry {row[0]}: was changed: it has values that the service never writes")
            self.replay.apply_all((None,), changes)
        self._verified.waiting = len(late)

    def _find_inserted(self, waiting: set[int]) -> Steps[None]:
        known, number = set(waiting), 0
        # Nothing reads bundles and tiles with higher numbers than those of the tree.
        while number * TILE_WIDTH < self._verified.head.size and (bundles := (yield from bundles_from(number, _PAGE))):
            known.update(position for _, positions in bundles for position in positions)
            number = bundles[-1][0] + 1
        position = 0
        while page := (yield from entry_table.bare_entries_between(position + 1, self._state.position, _PAGE)):
            for position, *_ in page:
                if position not in known:
                    self._verified.find(f"audit entry {position}: was inserted: no leaf of the log is of it")


def _entries_at(positions: Sequence[int]) -> Steps[dict[int, BareEntry]]:
    """Return the audit entries at these positions."""
    if not positions:
        return {}
    near = yield from entry_table.bare_entries_between(min(positions), max(positions), _NEIGHBOURS)
    found = {row[0]: row for row in near}
    if len(near) == _NEIGHBOURS:
        for position in positions:
            if position not in found:
                rows = yield from entry_table.bare_entries_between(position, position, 1)
                found.update({row[0]: row for row in rows})
    return found


def _tiles(verified: Verified) -> Steps[None]:
    """Compute the tiles of each level from the level below, and the root from all tiles."""
    size, level = verified.head.size, 0
    below: dict[int, bytes] = {}
    while width_of(level, 0, size):
        roots = yield from _tiles_of_level(level, below, verified)
        below, level = roots, level + 1
    try:
        is_root = (yield from root_at(size)) == verified.head.root
    except ResourceNotFound:
        is_root = False
    if not is_root:
        verified.find("log_tile: was changed: the tiles do not lead to the root of the signed checkpoint")


def _tiles_of_level(level: int, below: Mapping[int, bytes], verified: Verified) -> Steps[dict[int, bytes]]:
    """Compare the tiles of a level with the roots of the full tiles below; return the roots of its full tiles."""
    size, number = verified.head.size, 0
    count_of_level = -(-(size >> (TILE_HEIGHT * level)) // TILE_WIDTH)
    missing = set(range(count_of_level))
    roots = {}
    while number < count_of_level and (page := (yield from tiles_from(level, number, _PAGE))):
        for number, stored in page:
            width = width_of(level, number, size)
            missing.discard(number)
            hashes = split_hashes(stored[: width * HASH_BYTES])
            expected = [below.get(each) for each in range(number * TILE_WIDTH, number * TILE_WIDTH + width)]
            if level and hashes != expected:
                verified.find(f"log_tile {number} of level {level}: was changed: it is not of the tiles below it")
            if width == TILE_WIDTH:
                roots[number] = root_of(hashes)
        number = page[-1][0] + 1
    for number in sorted(missing):
        verified.find(f"log_tile {number} of level {level}: was removed")
    return roots


def _earlier(evidence: Evidence, verified: Verified) -> Steps[None]:
    former = {each.key.origin: each for each in (yield from predecessors())}
    for note in evidence.earlier:
        before = former.get(origin_of(note))
        head = evidence.checkpoint(note, verified.key if before is None else before.key).head
        if before is not None and head.size > before.size:
            verified.find(
                f"the log: lost leaves {before.size} to {head.size - 1} of {before.key.origin}: the service was "
                f"restored from a backup at {before.restored_at:%Y-%m-%dT%H:%M:%SZ}"
            )
        elif head.size > verified.head.size:
            verified.find(f"the log: was cut: it has {verified.head.size} leaves, a checkpoint was of {head.size}")
        elif (yield from root_at(head.size)) != head.root:
            verified.find(f"the log: was rewritten: its first {head.size} leaves are not those of a checkpoint")


def _registry(evidence: Evidence, verified: Verified, replay: Replay, *, is_whole: bool) -> Steps[None]:
    for rows_from in TABLES:
        position = 0
        while rows := (yield from rows_from(position, _PAGE)):
            for row in rows:
                if verified.pruned and not evidence.needs_all_leaves and not replay.knows(row.present.subject):
                    verified.unknown += 1
                    continue
                for text in replay.compare(row.present, is_whole=is_whole):
                    verified.find(text)
            verified.certificates += len(rows)
            position = rows[-1].position
    for text in replay.missing():
        verified.find(text)
