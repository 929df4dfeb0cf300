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


def _split(size: int) -> int:
    """Return the largest power of two below the size, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)
