"""Owns the replay of changes after a backup, from checkpoints, revocation lists and the tail of the log.

If the newest given checkpoint is that of the restored tree, no leaf is missing and the log keeps its name. Otherwise
published leaves may be lost, and the log continues under another name and key.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from thingmint.core.caller import Caller
from thingmint.core.error_text import in_words
from thingmint.core.transparency.checkpoint import CheckpointInvalid, TreeHead
from thingmint.core.transparency.growing_tree import GrowingTree, last_tiles
from thingmint.core.transparency.leaf import LoggedEntry
from thingmint.core.transparency.merkle import leaf_hash
from thingmint.core.transparency.tail import LogTail
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.keys.log_signature import is_signed
from thingmint.issuance.revocation.revocation_list import ListUnusable, RevocationList, read_list
from thingmint.records.certificates.revocation_lists import raise_numbers
from thingmint.records.log.predecessors import LogPredecessor, succeed
from thingmint.records.log.state import LogState
from thingmint.records.log.tiles import tile
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import SecretSealer, Store
from thingmint.registration.log.identity import LogIdentity, successor
from thingmint.registration.log.reading import present_state, root_at
from thingmint.registration.log.sequencing import sequence_all
from thingmint.registration.log.verified import Evidence
from thingmint.registration.recovery.later_access import DELETE, deleted_key, replay_key_deletion
from thingmint.registration.recovery.later_changes import Replayed, replay_revocation, replay_state
from thingmint.service.backup.checkpoints import checkpoint_of
from thingmint.service.backup.log_tails import TailUnusable, leaves_from
from thingmint.signers.log_key import LogKeySigner

_SUCCESSOR = re.compile(r"/restored-[0-9]{8}T[0-9]{6}Z\Z")
_TAIL_CHECKPOINT = "checkpoint"
_MOST_LOST = 1000


@dataclass(frozen=True, slots=True)
class LaterFiles:
    """The files that an operator gives in addition to a backup."""

    checkpoints: tuple[str, ...] = ()
    """Signed notes. They should include the newest one that any auditor or client has."""
    lists: tuple[tuple[Path, bytes], ...] = field(default=(), repr=False)
    tail: Path | None = None


@dataclass(slots=True)
class LaterFound:
    """The changes that were replayed, and those that are missing. ``size`` is that of the restored tree."""

    size: int
    log_name: str
    is_same_log: bool = False
    newest: int | None = None
    """The size of the newest given checkpoint; None if there is none."""
    tail_end: int | None = None
    """The index of the tail's last leaf plus one; None if no tail was given."""
    covered: int = 0
    """Leaves before this index are covered by a signed checkpoint."""
    replayed: Counter[Replayed] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    """Certificates that were issued or registered after the backup, at most a thousand."""
    lost_issuers: list[str] = field(default_factory=list)
    """Ids of issuers that were added after the backup."""
    other_actions: Counter[str] = field(default_factory=Counter)
    """How often each action occurred that was not repeated."""
    other_changes: list[str] = field(default_factory=list)
    """These actions with their resources, at most a thousand, if the tail has the entries."""
    deleted_keys: int = 0
    not_believed: int = 0
    list_numbers: list[int] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """The number of leaves of the newest checkpoint that are neither in the backup nor in the tail."""
        return max(0, (self.newest or 0) - max(self.size, self.tail_end or 0))


async def replay_later(
    store: Store,
    log: LogIdentity,
    sealer: SecretSealer,
    issuers: Sequence[IssuingCA],
    later: LaterFiles,
    caller: Caller,
    now: datetime,
) -> LaterFound:
    """Replay later changes, and give the log another name and key unless nothing is missing.

    Raises CheckpointInvalid, ListUnusable or TailUnusable if a given file belongs to another log or issuer, or does not
    continue from the backup.
    """
    backed_up = await store.read(present_state)
    found = LaterFound(backed_up.size, log.key.origin)
    lists = [_read_list(path, content, issuers) for path, content in later.lists]
    heads = _heads(log, later)
    found.newest = heads[-1].size if heads else None
    found.covered = await _covered(store, backed_up, heads)
    if later.tail is not None:
        await _follow_tail(store, backed_up, heads, later.tail, found)
    # The backup may hold audit entries that had no leaf yet.
    await sequence_all(store, log)
    state = await store.read(present_state)
    found.size = state.size
    if heads and heads[-1].size == state.size:
        found.is_same_log = await store.read(partial(root_at, state.size)) == heads[-1].root
    if later.tail is not None:
        await _replay_tail(store, issuers, later.tail, backed_up.size, found, caller, now)
    for each in lists:
        await _replay_list(store, each, found, caller, now)
    if not found.is_same_log:
        found.log_name = await _succeed(store, log, sealer, state, now)
    return found


def _read_list(path: Path, content: bytes, issuers: Sequence[IssuingCA]) -> RevocationList:
    try:
        return read_list(content, [each.certificate for each in issuers])
    except ListUnusable as error:
        raise ListUnusable(f"{path}: {in_words(error)}") from error


def _heads(log: LogIdentity, later: LaterFiles) -> list[TreeHead]:
    """Return the tree heads of the signed checkpoints, the smallest tree first."""
    evidence = Evidence(log.salt_secret, is_signed)
    notes = list(later.checkpoints)
    beside = None if later.tail is None else later.tail / _TAIL_CHECKPOINT
    if beside is not None and beside.is_file():
        notes.append(checkpoint_of(beside))
    return sorted((evidence.checkpoint(note, log.key).head for note in notes), key=lambda head: head.size)


async def _covered(store: Store, state: LogState, heads: Sequence[TreeHead]) -> int:
    """Return the size of the largest of these trees that is a prefix of the restored tree.

    Raises CheckpointInvalid if a tree that is not larger than the restored one is not its prefix.
    """
    covered = 0
    for head in heads:
        if head.size <= state.size:
            root = await store.read(partial(root_at, head.size))
            if root != head.root:
                raise CheckpointInvalid(
                    f"the checkpoint of {head.size} leaves is not of the log in the backup: its history is another one"
                )
            covered = head.size
    return covered


async def _follow_tail(store: Store, state: LogState, heads: Sequence[TreeHead], tail: Path, found: LaterFound) -> None:
    """Record in ``found`` where the tail ends, and up to which leaf a checkpoint covers it."""
    tree = await store.read(lambda: _end_of_tree(state.size))
    for head in [each for each in heads if each.size > state.size]:
        hashes = [leaf_hash(leaf) for leaf in _leaves_until(tail, tree.size, head.size)]
        if len(hashes) < head.size - tree.size:
            break
        tree.append(hashes)
        if tree.root() != head.root:
            raise TailUnusable(
                f"{tail}: leaves {state.size} to {head.size - 1} are not those of the checkpoint of {head.size} leaves"
            )
        found.covered = head.size
    found.tail_end = state.size + sum(1 for _ in leaves_from(tail, state.size))


def _end_of_tree(size: int) -> Steps[GrowingTree]:
    tiles = {}
    for level, number in last_tiles(size):
        tiles[level, number] = (yield from tile(level, number)) or b""
    return GrowingTree(size, tiles)


def _leaves_until(tail: Path, first: int, end: int) -> Iterator[bytes]:
    for index, leaf, _ in leaves_from(tail, first):
        if index >= end:
            return
        yield leaf


async def _replay_tail(
    store: Store,
    issuers: Sequence[IssuingCA],
    tail: Path,
    first: int,
    found: LaterFound,
    caller: Caller,
    now: datetime,
) -> None:
    told = LogTail()
    for index, leaf, entry in leaves_from(tail, first):
        try:
            is_state = told.apply(leaf, is_covered=index < found.covered)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise TailUnusable(f"{tail}: leaf {index} cannot be read") from error
        if entry is not None and not is_state and not await _replay_entry(store, entry, found, caller, now):
            found.other_changes += [f"{entry.action} {entry.resource}"][: _MOST_LOST - len(found.other_changes)]
    found.not_believed = told.not_believed
    found.other_actions = told.other_actions - Counter({DELETE: found.deleted_keys})
    ends = {each.issuer_id: each.not_after for each in issuers}
    found.lost_issuers = sorted(told.issuer_ids - ends.keys() - {""})
    for subject, state in told.states.items():
        try:
            outcome = await store.write(partial(replay_state, caller, now, subject, state, ends))
        except (ValueError, OverflowError) as error:
            raise TailUnusable(
                f"{tail}: the last leaf of {subject.name} has a status or number that is none"
            ) from error
        found.not_believed += outcome is Replayed.NOT_BELIEVED
        found.replayed[outcome] += 1
        if outcome is Replayed.LOST and len(found.lost) < _MOST_LOST:
            found.lost.append(f"{subject.name} of account {subject.account} in {subject.region}: {state.status}")


async def _replay_entry(store: Store, entry: LoggedEntry, found: LaterFound, caller: Caller, now: datetime) -> bool:
    """Repeat a change of which the leaf does not tell enough; return whether that was possible."""
    access_key_id = deleted_key(entry)
    if access_key_id is None:
        return False
    await store.write(partial(replay_key_deletion, caller, now, entry, access_key_id))
    found.deleted_keys += 1
    return True


async def _replay_list(store: Store, each: RevocationList, found: LaterFound, caller: Caller, now: datetime) -> None:
    for revocation in each.revocations():
        found.replayed[await store.write(partial(replay_revocation, caller, now, revocation))] += 1
    await store.write(partial(raise_numbers, each.issuer_id, each.number))
    found.list_numbers.append(each.number)


async def _succeed(store: Store, log: LogIdentity, sealer: SecretSealer, state: LogState, now: datetime) -> str:
    """Give the log another name and key; return the name."""
    origin = f"{_SUCCESSOR.sub('', log.key.origin)}/restored-{now:%Y%m%dT%H%M%SZ}"
    identity, sealed = successor(log, sealer, LogKeySigner, origin, os.urandom)
    root = await store.read(partial(root_at, state.size))
    checkpoint = identity.checkpoint(TreeHead(state.size, root))
    before = LogPredecessor(log.key, state.size, now)
    await store.write(lambda: succeed(before, identity.key, sealed, checkpoint))
    return origin
