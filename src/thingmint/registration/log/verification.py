"""Owns the verification of the log with itself, the audit trail and the registry. Reports each row that does not agree.

Only the checkpoint is signed. The tiles must result in its root, the audit entries in the tiles, and the certificates
of the registry must agree with the entries. Everything is read from one snapshot.
"""

from collections.abc import Mapping

from thingmint.core.errors import ResourceNotFound
from thingmint.core.transparency.checkpoint import origin_of
from thingmint.core.transparency.leaf import LoggedEntry
from thingmint.core.transparency.merkle import HASH_BYTES, leaf_hash, root_of
from thingmint.core.transparency.replay import Replay
from thingmint.core.transparency.tiles import TILE_HEIGHT, TILE_WIDTH, split_hashes, width_of
from thingmint.records.log import entries as entry_table
from thingmint.records.log.predecessors import predecessors
from thingmint.records.log.registry_rows import TABLES
from thingmint.records.log.state import LogState, newest_position
from thingmint.records.log.tiles import bundles_from, positions_of_bundle, tile, tiles_from
from thingmint.records.steps import Steps
from thingmint.registration.log.reading import entries_of_bundle, present_state, root_at
from thingmint.registration.log.verified import ArchivedLeaves, Evidence, Verified

_PAGE = 500


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
    leaves = _Leaves(evidence, state, verified)
    yield from leaves.follow_all()
    yield from _tiles(verified)
    yield from _earlier(evidence, verified)
    yield from leaves.find_others()
    yield from _registry(evidence, verified, leaves.replay, is_whole=leaves.are_whole)
    verified.reactivations = leaves.replay.reactivations
    return verified


class _Leaves:
    """Compares the audit entries with the tiles of level 0, and replays them."""

    def __init__(self, evidence: Evidence, state: LogState, verified: Verified) -> None:
        self._evidence = evidence
        self._state = state
        self._verified = verified
        self._archived = ArchivedLeaves(evidence.archive())
        self._entries = 0
        self.replay = Replay()
        self.are_whole = True

    def follow_all(self) -> Steps[None]:
        """Replay every leaf of the tree."""
        size = self._verified.head.size
        for number in range(-(-size // TILE_WIDTH)):
            hashes = (yield from tile(0, number)) or b""
            entries = yield from entries_of_bundle(number)
            width = width_of(0, number, size)
            self._entries += sum(entry is not None for entry in entries[:width])
            for offset in range(width):
                expected = hashes[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]
                entry = entries[offset] if offset < len(entries) else None
                if not self._follow(number * TILE_WIDTH + offset, entry, expected):
                    positions = yield from positions_of_bundle(number)
                    named = f"audit entry {positions[offset]}" if offset < len(positions) else f"log_bundle {number}"
                    index = number * TILE_WIDTH + offset
                    self._verified.find(f"{named}: was removed: it is leaf {index} of the log")
            self._evidence.progress(number * TILE_WIDTH + width, size)

    def _follow(self, index: int, entry: LoggedEntry | None, expected: bytes) -> bool:
        """Replay one leaf; return whether its entry exists or was pruned."""
        leaf = self._archived.leaf(index) if entry is None else self._evidence.leaf(entry)
        if leaf is None:
            self.are_whole = False
            return index < self._state.pruned
        if leaf_hash(leaf) == expected:
            self.replay.apply(index, leaf)
            return True
        self.are_whole = False
        named = f"archived entry of leaf {index}" if entry is None else f"audit entry {entry.position}"
        self._verified.find(f"{named}: was changed: leaf {index} of the log has another hash")
        return True

    def find_others(self) -> Steps[None]:
        """Replay the entries that have no leaf yet, and find those that will never get one."""
        waiting = yield from entry_table.gaps()
        late: list[LoggedEntry] = []
        for position in waiting:
            late += yield from entry_table.entries_between(position, position, 1)
        if (yield from entry_table.count_entries(self._state.position)) != self._entries + len(late):
            yield from self._find_inserted(set(waiting))
        position, newest = self._state.position, (yield from newest_position())
        while position < newest:
            page = yield from entry_table.entries_between(position + 1, newest, _PAGE)
            late += page
            position = page[-1].position
        for entry in sorted(late, key=lambda each: each.position):
            self.replay.apply(None, self._evidence.leaf(entry))
        self._verified.waiting = len(late)

    def _find_inserted(self, waiting: set[int]) -> Steps[None]:
        known, number = set(waiting), 0
        while bundles := (yield from bundles_from(number, _PAGE)):
            known.update(position for _, positions in bundles for position in positions)
            number = bundles[-1][0] + 1
        position = 0
        while page := (yield from entry_table.entries_between(position + 1, self._state.position, _PAGE)):
            for entry in page:
                if entry.position not in known:
                    self._verified.find(f"audit entry {entry.position}: was inserted: no leaf of the log is of it")
            position = page[-1].position


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
    missing = set(range(-(-(size >> (TILE_HEIGHT * level)) // TILE_WIDTH)))
    roots = {}
    while page := (yield from tiles_from(level, number, _PAGE)):
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
