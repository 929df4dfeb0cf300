"""Owns the sequencing of audit entries into the log: in one order, by one node at a time, each exactly once.

An entry is committed with its change. A pass is one transaction: it reads the entries without a leaf, adds their leaves
to the tree, and stores tiles, checkpoint and the last position. It locks the log's row, so only one node runs a pass at
a time. An interrupted pass has no effect.

On PostgreSQL an entry can become visible after one with a higher position, because it gets its position before the
commit. Such a position is recorded as a gap. The gap is closed when its entry is visible, or when every transaction
that could have the position has ended.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from itertools import pairwise

from msgspec import Struct

from thingmint.core.errors import ThingmintError
from thingmint.core.transparency.checkpoint import TreeHead
from thingmint.core.transparency.growing_tree import GrowingTree, TreeDamaged, last_tiles
from thingmint.core.transparency.leaf import leaf_of, salt_of
from thingmint.core.transparency.leaf_hashes import BareEntry, EntryUnreadable
from thingmint.core.transparency.merkle import leaf_hash
from thingmint.core.transparency.tiles import TILE_WIDTH
from thingmint.records.log import entries as entry_table
from thingmint.records.log import tiles as tile_table
from thingmint.records.log.state import (
    LogState,
    advance,
    has_new_entries,
    log_state,
    log_state_unless_locked,
    newest_position,
)
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.identity import LogIdentity

log = logging.getLogger(__name__)

POLL_SECONDS = 0.4
# A pass blocks other writers of SQLite for some milliseconds.
LEAVES_OF_A_PASS = 512
_SLICE = 128
# A transaction takes a position while it runs one statement, which ends within four seconds.
_CEILING_AFTER_MICROSECONDS = 10_000_000
# There are never so many open transactions. Positions missing further back were deleted, or skipped by a restart.
_MAX_GAPS_AT_ONCE = 10_000
_PAUSE_AFTER_FAILURE_SECONDS = 1.0

Observe = Callable[[int, float], None]
"""Receives the size of the tree after a pass, and the duration of the pass in seconds."""


class SequencingResult(Struct, frozen=True):
    """The result of a pass: the number of added leaves, and the new size of the tree."""

    added: int
    size: int

    @property
    def is_behind(self) -> bool:
        """Whether there are probably more entries than one pass handles."""
        return self.added >= LEAVES_OF_A_PASS


def sequence(identity: LogIdentity) -> Steps[SequencingResult | None]:
    """Run one pass for up to `LEAVES_OF_A_PASS` entries and those that fill gaps; return None if another node does.

    Raises TreeDamaged if the stored tree is damaged, so that no checkpoint is signed that does not extend it.
    """
    state = yield from log_state_unless_locked()
    if state is None:
        return None
    tiles = {}
    for level, number in last_tiles(state.size):
        tiles[level, number] = (yield from tile_table.tile(level, number)) or b""
    tree = GrowingTree(state.size, tiles)
    position, positions = yield from _append(identity, state, tree)
    if positions:
        yield from _store(identity, state, tree, position, positions)
    return SequencingResult(len(positions), tree.size)


def _append(identity: LogIdentity, state: LogState, tree: GrowingTree) -> Steps[tuple[int, list[int]]]:
    """Add the leaves of new entries; return the last position that was read, and the leaves' positions in order."""
    open_now = yield from entry_table.open_transactions()
    if open_now is not None:
        yield from entry_table.set_ceilings(open_now.ceiling, open_now.time - _CEILING_AFTER_MICROSECONDS)
    # An engine without overlapping transactions has gaps only if its registry was copied from another engine.
    gaps = yield from entry_table.gaps()
    position, positions, known_gaps = state.position, list[int](), set(gaps)
    while len(positions) < LEAVES_OF_A_PASS:
        entries = yield from entry_table.new_entries(position, _SLICE)
        read = [entry[0] for entry in entries]
        tree.append((yield from _hashes_of(identity, entries)))
        positions += read
        later = [each for each in read if each > position]
        for each in known_gaps.intersection(read):
            yield from entry_table.close_gap(each)
            yield from entry_table.index_entries(each, each)
        if later:
            yield from entry_table.index_entries(position + 1, later[-1])
            if open_now is not None:
                known_gaps |= yield from _record_gaps(position, later, open_now.time)
            position = later[-1]
        if len(later) < _SLICE:
            break
    if open_now is not None and gaps:
        # The read above has seen all entries of transactions below the horizon, because the horizon was read earlier.
        yield from entry_table.close_ended_gaps(open_now.horizon)
    return position, positions


def _hashes_of(identity: LogIdentity, entries: Sequence[BareEntry]) -> Steps[list[bytes]]:
    try:
        hashes, _ = identity.leaf_hashes.of(entries)
    except EntryUnreadable:
        # The table was changed by hand. The log continues with what is in the table, as it was changed.
        hashes = []
        for position, *_ in entries:
            (entry,) = yield from entry_table.entries_between(position, position, 1)
            hashes.append(leaf_hash(leaf_of(entry, salt_of(identity.salt_secret, position))))
    return hashes


def _record_gaps(position: int, later: Sequence[int], at: int) -> Steps[set[int]]:
    missing = set[int]()
    for before, after in pairwise((position, *later)):
        first = max(before + 1, after - _MAX_GAPS_AT_ONCE)
        if first < after:
            yield from entry_table.record_gaps(first, after - 1, at)
            missing.update(range(first, after))
    return missing


def _store(
    identity: LogIdentity, state: LogState, tree: GrowingTree, position: int, positions: Sequence[int]
) -> Steps[None]:
    first = state.size // TILE_WIDTH
    known = [] if state.size % TILE_WIDTH == 0 else list((yield from tile_table.positions_of_bundle(first)))
    if len(known) != state.size % TILE_WIDTH:
        raise TreeDamaged("the log does not have the positions of its last leaves")
    known += positions
    for at in range(0, len(known), TILE_WIDTH):
        yield from tile_table.store_bundle(first + at // TILE_WIDTH, known[at : at + TILE_WIDTH])
    for (level, number), hashes in tree.changed().items():
        yield from tile_table.store_tile(level, number, hashes)
    yield from advance(tree.size, position, identity.checkpoint(TreeHead(tree.size, tree.root())))


async def sequence_all(store: Store, identity: LogIdentity) -> None:
    """Run passes for all entries that have no leaf now. Entries that are added meanwhile do not prolong it.

    Also returns when a pass has found nothing, or when another node runs a pass.
    """
    newest = await store.read(newest_position)
    while await store.read(has_new_entries):
        passed = await store.write(lambda: sequence(identity))
        state = await store.read(log_state)
        if passed is None or not passed.added or state is None or state.position >= newest:
            return


class Sequencer(Struct, frozen=True):
    """A node's background task. It runs a pass when there are new entries, so that each has a leaf within a second."""

    store: Store
    identity: LogIdentity
    observe: Observe
    poll_seconds: float = POLL_SECONDS

    async def run(self) -> None:
        """Run until cancelled. A pass that fails is tried again."""
        while True:
            try:
                pause = await self._pass()
            except (ThingmintError, TreeDamaged) as error:
                log.warning("the log cannot be continued yet: %s", type(error).__name__)
                pause = _PAUSE_AFTER_FAILURE_SECONDS
            await asyncio.sleep(pause)

    async def _pass(self) -> float:
        """Run a pass if there are new entries; return the seconds to wait before the next one."""
        if not await self.store.read(has_new_entries):
            return self.poll_seconds
        began = time.perf_counter()
        passed = await self.store.write(lambda: sequence(self.identity))
        if passed is None:
            return self.poll_seconds
        seconds = time.perf_counter() - began
        self.observe(passed.size, seconds)
        # During a backlog, half of the time is left to other tasks.
        return min(seconds, self.poll_seconds) if passed.is_behind else self.poll_seconds
