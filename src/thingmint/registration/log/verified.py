"""Owns the input and the result of a verification of the log. Does no I/O."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from thingmint.core.transparency.checkpoint import (
    CheckpointInvalid,
    LogKey,
    SignedCheckpoint,
    TreeHead,
    read_checkpoint,
)

# Without a limit, many changed rows would result in a report of the same length.
MAX_FINDINGS = 1000

IsSigned = Callable[[bytes, bytes, bytes], bool]
"""Returns whether a signature (third) is one of the content (second) by an Ed25519 public key (first)."""

Archive = Callable[[], Iterator[tuple[int, bytes]]]
"""Returns an iterator of the archived leaves, whose entries were pruned, with their indexes, in order."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The input of a verification besides the database. ``earlier`` are checkpoints that the tree must extend.

    Without ``needs_all_leaves``, certificates whose leaves were pruned and not archived are only counted.
    """

    secret: bytes = field(repr=False)
    is_signed: IsSigned
    archive: Archive = lambda: iter(())
    earlier: Sequence[str] = ()
    progress: Callable[[int, int], None] = lambda _done, _all: None
    needs_all_leaves: bool = True

    def checkpoint(self, note: str, key: LogKey) -> SignedCheckpoint:
        """Return the checkpoint with a verified signature; raise CheckpointInvalid otherwise."""
        checkpoint = read_checkpoint(note, key)
        if not any(self.is_signed(key.public_key, checkpoint.body, each) for each in checkpoint.signatures):
            raise CheckpointInvalid("the signature of the checkpoint is not one by the key of the log")
        return checkpoint


@dataclass(slots=True)
class Verified:
    """The result of a verification. Without findings, everything agrees.

    Counts: ``pruned`` leaves, whose entries are deleted; ``certificates`` that were compared; ``unknown`` certificates
    that could not be compared; ``waiting`` entries, which have no leaf yet.
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
    """Archived leaves, read in their order."""

    def __init__(self, leaves: Iterator[tuple[int, bytes]]) -> None:
        self._leaves = leaves
        self._next: tuple[int, bytes] | None = (-1, b"")

    def leaf(self, index: int) -> bytes | None:
        """Return the leaf of this index, or None. Later calls must not have lower indexes."""
        while self._next is not None and self._next[0] < index:
            self._next = next(self._leaves, None)
        return self._next[1] if self._next is not None and self._next[0] == index else None
