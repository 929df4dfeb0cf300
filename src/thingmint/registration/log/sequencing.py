"""Owns how audit entries get their places in the log: in one order, by one node at a time, each exactly once.

An entry is durable with the change that it tells of. A pass is one transaction: it takes the entries that have no leaf
yet, adds their leaves to the tree, and stores tiles, checkpoint and how far it has come. It holds the log's row, so two
nodes do not pass at once; and a pass that is cut off has done nothing.

On PostgreSQL an entry can appear after one with a higher position, because a position is given before its transaction
ends. Such a position is noted as a gap. The gap is closed when its entry has appeared, or when every transaction that
could have the position has ended.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from thingmint.core.errors import ThingmintError
from thingmint.core.transparency.checkpoint import TreeHead
from thingmint.core.transparency.growing_tree import GrowingTree, TreeDamaged, last_tiles
from thingmint.core.transparency.leaf import leaf_of, salt_of
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
# A pass keeps others from writing to SQLite for some milliseconds.
LEAVES_OF_A_PASS = 512
_SLICE = 128
# A transaction takes a position while it runs one statement, which ends within four seconds.
_CEILING_AFTER_MICROSECONDS = 10_000_000
# As many transactions are never open at once; what is missing farther back was removed, or skipped by a restart.
_MAX_GAPS_AT_ONCE = 10_000
_PAUSE_AFTER_FAILURE_SECONDS = 1.0

Observe = Callable[[int, float], None]
"""Is told the size of the tree after a pass, and the seconds that the pass took."""


@dataclass(frozen=True, slots=True)
class Passed:
    """What a pass has done: the leaves that it added, and the size of the tree now."""

    added: int
    size: int

    @property
    def is_behind(self) -> bool:
        """Whether there are probably more entries than one pass takes."""
        return self.added >= LEAVES_OF_A_PASS


def sequence(identity: LogIdentity) -> Steps[Passed | None]:
    """Give places to up to `LEAVES_OF_A_PASS` entries and those that fill gaps; return None if another node does it.

    Raises TreeDamaged if what is stored is not a tree, so that nothing is signed that does not go on from it.
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
    return Passed(len(positions), tree.size)


def _append(identity: LogIdentity, state: LogState, tree: GrowingTree) -> Steps[tuple[int, list[int]]]:
    """Add the leaves of new entries; return the last position that was seen, and those of the leaves in their order."""
    open_now = yield from entry_table.open_transactions()
    if open_now is not None:
        yield from entry_table.set_ceilings(open_now.ceiling, open_now.time - _CEILING_AFTER_MICROSECONDS)
    # On an engine without overlapping transactions, those of another engine whose registry was copied.
    gaps = yield from entry_table.gaps()
    position, positions, known_gaps = state.position, list[int](), set(gaps)
    while len(positions) < LEAVES_OF_A_PASS:
        entries = yield from entry_table.new_entries(position, _SLICE)
        tree.append([leaf_hash(leaf_of(entry, salt_of(identity.salt_secret, entry.position))) for entry in entries])
        positions += [entry.position for entry in entries]
        later = [entry.position for entry in entries if entry.position > position]
        for entry in entries:
            if entry.position in known_gaps:
                yield from entry_table.close_gap(entry.position)
                yield from entry_table.index_entries(entry.position, entry.position)
        if later:
            yield from entry_table.index_entries(position + 1, later[-1])
            if open_now is not None:
                known_gaps |= yield from _note_gaps(position, later, open_now.time)
            position = later[-1]
        if len(later) < _SLICE:
            break
    if open_now is not None and gaps:
        # What the transactions below the horizon have written was seen above: the horizon is older than that.
        yield from entry_table.close_ended_gaps(open_now.horizon)
    return position, positions


def _note_gaps(position: int, later: Sequence[int], at: int) -> Steps[set[int]]:
    missing = set[int]()
    for before, after in pairwise((position, *later)):
        first = max(before + 1, after - _MAX_GAPS_AT_ONCE)
        if first < after:
            yield from entry_table.note_gaps(first, after - 1, at)
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
    """Give places to all entries that have none now; those that come meanwhile keep nobody here.

    Returns also when a pass has found nothing, or another node does it.
    """
    newest = await store.read(newest_position)
    while await store.read(has_new_entries):
        passed = await store.write(lambda: sequence(identity))
        state = await store.read(log_state)
        if passed is None or not passed.added or state is None or state.position >= newest:
            return


@dataclass(frozen=True, slots=True)
class Sequencer:
    """The work of a node: it passes when there are new entries, so that each has its place within a second."""

    store: Store
    identity: LogIdentity
    observe: Observe
    poll_seconds: float = POLL_SECONDS

    async def run(self) -> None:
        """Go on until cancelled. What cannot be stored now is tried again."""
        while True:
            try:
                pause = await self._pass()
            except (ThingmintError, TreeDamaged) as error:
                log.warning("the log cannot be continued yet: %s", type(error).__name__)
                pause = _PAUSE_AFTER_FAILURE_SECONDS
            await asyncio.sleep(pause)

    async def _pass(self) -> float:
        """Pass if there is something to do; return how many seconds to wait before the next time."""
        if not await self.store.read(has_new_entries):
            return self.poll_seconds
        began = time.perf_counter()
        passed = await self.store.write(lambda: sequence(self.identity))
        if passed is None:
            return self.poll_seconds
        seconds = time.perf_counter() - began
        self.observe(passed.size, seconds)
        # Half of the time is for others when there is much to catch up with.
        return min(seconds, self.poll_seconds) if passed.is_behind else self.poll_seconds
