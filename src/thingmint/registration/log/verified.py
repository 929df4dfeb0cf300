"""Owns what a verification of the log takes, and what it has found; reads nothing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from thingmint.core.transparency.checkpoint import (
    CheckpointInvalid,
    LogKey,
    SignedCheckpoint,
    TreeHead,
    read_checkpoint,
)
from thingmint.core.transparency.leaf import LoggedEntry, leaf_of, salt_of

# A database that somebody has written into at length would have a report of the same length.
MAX_FINDINGS = 1000

IsSigned = Callable[[bytes, bytes, bytes], bool]
"""Returns whether a signature (third) is one of the content (second) by an Ed25519 public key (first)."""

Archive = Callable[[], Iterator[tuple[int, bytes]]]
"""Begins to read the leaves that were removed from the audit trail, with their indexes, in their order."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verification takes besides the database. ``earlier`` are checkpoints that the tree must go on from.

    Unless it ``needs_all_leaves``, certificates whose leaves were pruned and are not in the archive are counted only.
    """

    secret: bytes = field(repr=False)
    is_signed: IsSigned
    archive: Archive = lambda: iter(())
    earlier: Sequence[str] = ()
    progress: Callable[[int, int], None] = lambda _done, _all: None
    needs_all_leaves: bool = True

    def checkpoint(self, note: str, key: LogKey) -> SignedCheckpoint:
        """Return the checkpoint, whose signature is right; raise CheckpointInvalid otherwise."""
        checkpoint = read_checkpoint(note, key)
        if not any(self.is_signed(key.public_key, checkpoint.body, each) for each in checkpoint.signatures):
            raise CheckpointInvalid("the signature of the checkpoint is not one by the key of the log")
        return checkpoint

    def leaf(self, entry: LoggedEntry) -> bytes:
        """Return the content of an entry's leaf."""
        return leaf_of(entry, salt_of(self.secret, entry.position))


@dataclass(slots=True)
class Verified:
    """What was verified. Without findings, all of it agrees.

    ``pruned`` leaves have no entry any more; ``certificates`` were compared, ``unknown`` ones of them could not be;
    ``waiting`` entries have no leaf yet.
    """

    key: LogKey
    head: TreeHead
    pruned: int
    certificates: int = 0
    unknown: int = 0
    waiting: int = 0
    findings: list[str] = field(default_factory=list)
    reactivations: list[str] = field(default_factory=list)

    def find(self, text: str) -> None:
        """Add a finding, unless there are too many."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(text)


class ArchivedLeaves:
    """Leaves that are asked for in their order."""

    def __init__(self, leaves: Iterator[tuple[int, bytes]]) -> None:
        self._leaves = leaves
        self._next: tuple[int, bytes] | None = (-1, b"")

    def leaf(self, index: int) -> bytes | None:
        """Return the leaf of this index, or None; no earlier one is asked for afterwards."""
        while self._next is not None and self._next[0] < index:
            self._next = next(self._leaves, None)
        return self._next[1] if self._next is not None and self._next[0] == index else None
