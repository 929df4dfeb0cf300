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
from thingmint.registration.recovery.later_changes import Replayed, replay_revocation, replay_state
from thingmint.service.backup.log_tails import TailUnusable, leaves_from
from thingmint.signers.log_key import LogKeySigner

_SUCCESSOR = re.compile(r"/restored-[0-9]{8}T[0-9]{6}Z\Z")
_TAIL_CHECKPOINT = "checkpoint"
_MOST_LOST = 1000


@dataclass(frozen=True, slots=True)
class Later:
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
    other_actions: Counter[str] = field(default_factory=Counter)
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
    later: Later,
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


def _heads(log: LogIdentity, later: Later) -> list[TreeHead]:
    """Return the tree heads of the signed checkpoints, the smallest tree first."""
    evidence = Evidence(log.salt_secret, is_signed)
    notes = list(later.checkpoints)
    beside = None if later.tail is None else later.tail / _TAIL_CHECKPOINT
    if beside is not None and beside.is_file():
        notes.append(beside.read_text(encoding="utf-8"))
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
        hashes = [leaf_hash(leaf) for _, leaf in _until(leaves_from(tail, tree.size), head.size)]
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


def _until(leaves: Iterator[tuple[int, bytes]], end: int) -> Iterator[tuple[int, bytes]]:
    for index, leaf in leaves:
        if index >= end:
            return
        yield index, leaf


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
    for index, leaf in leaves_from(tail, first):
        try:
            told.apply(leaf, is_covered=index < found.covered)
        except (ValueError, KeyError, TypeError) as error:
            raise TailUnusable(f"{tail}: leaf {index} cannot be read") from error
    found.other_actions, found.not_believed = told.other_actions, told.not_believed
    ends = {each.issuer_id: each.not_after for each in issuers}
    for subject, state in told.states.items():
        outcome = await store.write(partial(replay_state, caller, now, subject, state, ends))
        found.replayed[outcome] += 1
        if outcome is Replayed.LOST and len(found.lost) < _MOST_LOST:
            found.lost.append(f"{subject.name} of account {subject.account} in {subject.region}: {state.status}")


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
