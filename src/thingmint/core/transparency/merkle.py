"""Owns the hash tree of RFC 6962, section 2.1: hashes, spans, proofs and their verification.

A span is ``D[start:end]`` of the RFC, the leaves from ``start`` up to but without ``end``. A subtree that is full has a
height and a number: its span is ``number * 2**height`` up to ``(number + 1) * 2**height``. Hashes are SHA-256.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import TypeAlias

HASH_BYTES = 32
# The hash of the tree without leaves (RFC 6962, 2.1).
EMPTY_ROOT = sha256(b"").digest()

Span: TypeAlias = tuple[int, int]
"""The index of the first leaf, and the index after the last."""

FullSubtrees: TypeAlias = Callable[[int, int], bytes]
"""Returns the hash of the full subtree of this height and number."""


class ProofInvalid(ValueError):
    """A proof does not prove its claim."""


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a leaf with this content."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node with these children."""
    return sha256(b"\x01" + left + right).digest()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Return the root of the tree whose leaves, or full subtrees of one height, have these hashes."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        above = [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=False)]
        # A hash without a partner moves up a level unchanged. This equals the RFC's split at the largest power of two.
        level = [*above, level[-1]] if len(level) % 2 else above
    return level[0]


def full_subtrees(span: Span) -> Iterator[tuple[int, int]]:
    """Yield height and number of each full subtree of a span, left to right.

    The span must begin where the smallest subtree around it begins. Spans of proofs and of whole trees do.
    """
    start, end = span
    while start < end:
        height = (end - start).bit_length() - 1
        yield height, start >> height
        start += 1 << height


def span_hash(span: Span, full: FullSubtrees) -> bytes:
    """Return the hash of the span, MTH(D[start:end])."""
    hashes = [full(height, number) for height, number in full_subtrees(span)]
    if not hashes:
        return EMPTY_ROOT
    result = hashes.pop()
    while hashes:
        result = node_hash(hashes.pop(), result)
    return result


def inclusion_spans(index: int, size: int) -> list[Span]:
    """Return the spans whose hashes prove that the leaf of this index is in the tree, PATH(index, D[size]) of the RFC.

    Raises ValueError if the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    start, end, spans = 0, size, []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def consistency_spans(old: int, new: int) -> list[Span]:
    """Return the spans whose hashes prove that a tree begins with an older one, PROOF(old, D[new]) of the RFC.

    An empty old tree needs none, because every tree begins with it. Raises ValueError if the old tree is larger.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} leaves does not begin with one of {old}")
    start, end, spans, is_whole = 0, new, [], True
    while old not in (0, end):
        middle = start + _split(end - start)
        if old <= middle:
            spans.append((middle, end))
            end = middle
        else:
            spans.append((start, middle))
            start, is_whole = middle, False
    if not is_whole:
        spans.append((start, end))
    return spans[::-1]


def verify_inclusion(entry_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise ProofInvalid unless the proof shows that the leaf with this hash is in the tree."""
    try:
        spans = inclusion_spans(index, size)
    except ValueError as error:
        raise ProofInvalid(f"the tree of {size} leaves has no leaf {index}") from error
    if len(spans) != len(proof):
        raise ProofInvalid(f"the proof has {len(proof)} hashes instead of {len(spans)}")
    result = entry_hash
    for (start, _), sibling in zip(spans, proof, strict=True):
        result = node_hash(result, sibling) if start > index else node_hash(sibling, result)
    if result != root:
        raise ProofInvalid(f"the proof does not lead from leaf {index} to the root of the tree")


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofInvalid unless the proof shows that the new tree begins with the old one."""
    try:
        spans = consistency_spans(old, new)
    except ValueError as error:
        raise ProofInvalid(f"a tree of {new} leaves does not begin with one of {old}") from error
    if len(spans) != len(proof):
        raise ProofInvalid(f"the proof has {len(proof)} hashes instead of {len(spans)}")
    given = list(zip(spans, proof, strict=True))
    # The first hash is that of the old tree's last part. If the proof leaves it out, that part is the whole old tree.
    if old == 0:
        computed_old, computed_new = EMPTY_ROOT, new_root
    elif not given or given[0][0][1] > old:
        computed_old = computed_new = old_root
    else:
        computed_old = computed_new = given.pop(0)[1]
    for (start, _), sibling in given:
        if start < old:
            computed_old, computed_new = node_hash(sibling, computed_old), node_hash(sibling, computed_new)
        else:
            computed_new = node_hash(computed_new, sibling)
    if computed_old != old_root:
        raise ProofInvalid("the proof does not lead to the root of the old tree")
    if computed_new != new_root:
        raise ProofInvalid("the proof does not lead to the root of the new tree")


def _split(size: int) -> int:
    """Return the largest power of two below the size, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)
