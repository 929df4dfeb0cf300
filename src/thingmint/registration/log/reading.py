"""Owns the reading of the log: its checkpoint, tiles and entries, and proofs computed from them."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from thingmint.core.errors import ResourceNotFound
from thingmint.core.transparency.checkpoint import TreeHead, read_checkpoint
from thingmint.core.transparency.leaf import LoggedEntry, leaf_of, salt_of
from thingmint.core.transparency.merkle import (
    HASH_BYTES,
    Span,
    full_subtrees,
    inclusion_spans,
    leaf_hash,
    span_hash,
    verify_inclusion,
)
from thingmint.core.transparency.tiles import TILE_WIDTH, Tile, bundle_of, subtree_hash, tile_of_subtree
from thingmint.records.log.entries import entries_between
from thingmint.records.log.state import LogState, log_state
from thingmint.records.log.terms import positions_of_term, term_of_resource
from thingmint.records.log.tiles import index_of_entry, positions_of_bundle, tile
from thingmint.records.steps import Steps

# A certificate has a leaf for its issuance and for each change of its status. Other changes can name it, too.
MAX_LEAVES_OF_A_RESOURCE = 1000
# Most entries of one bundle have close positions. The others are read one by one.
_NEIGHBOURS = 4 * TILE_WIDTH


class LeafProof(Struct, frozen=True):
    """A leaf and its path of hashes in a tree, from its sibling to the child of the root."""

    index: int
    entry: LoggedEntry
    leaf: bytes
    hashes: tuple[bytes, ...]


def present_state() -> Steps[LogState]:
    """Return the state of the log; raise ResourceNotFound if there is none yet."""
    state = yield from log_state()
    if state is None:
        raise ResourceNotFound("The log was not begun yet: `thingmint serve` begins it")
    return state


def head_of(state: LogState) -> TreeHead:
    """Return size and root of the stored checkpoint; raise CheckpointInvalid if it is not one of this log."""
    return read_checkpoint(state.checkpoint, state.key).head


def read_tile(wanted: Tile) -> Steps[bytes]:
    """Return the hashes of a tile; raise ResourceNotFound if the log has no tile of this width."""
    hashes = (yield from tile(wanted.level, wanted.number)) or b""
    length = wanted.width * HASH_BYTES
    if len(hashes) < length:
        raise _absent(wanted)
    return hashes[:length]


def read_bundle(wanted: Tile, secret: bytes) -> Steps[bytes]:
    """Return the entries of a bundle; raise ResourceNotFound if there is none of this width or it was pruned."""
    entries = yield from entries_of_bundle(wanted.number)
    chosen = entries[: wanted.width]
    if len(chosen) < wanted.width or None in chosen:
        raise _absent(wanted)
    return bundle_of([leaf_of(entry, salt_of(secret, entry.position)) for entry in chosen if entry is not None])


def entries_of_bundle(number: int) -> Steps[Sequence[LoggedEntry | None]]:
    """Return the audit entries of a bundle in the order of their leaves, None for each missing one."""
    positions = yield from positions_of_bundle(number)
    if not positions:
        return ()
    near = yield from entries_between(min(positions), max(positions), _NEIGHBOURS)
    found = {entry.position: entry for entry in near}
    if len(near) == _NEIGHBOURS:
        for position in positions:
            if position not in found:
                found.update({each.position: each for each in (yield from entries_between(position, position, 1))})
    return [found.get(position) for position in positions]


def prove_resource(arn: str, secret: bytes) -> Steps[tuple[LogState, list[LeafProof]]]:
    """Return the state of the log, and a proof in its present tree for each leaf of a resource, oldest first.

    Raises ResourceNotFound if the log has no leaf of the resource.
    """
    state = yield from present_state()
    size, proofs = head_of(state).size, []
    for position in (yield from positions_of_term(term_of_resource(arn), MAX_LEAVES_OF_A_RESOURCE)):
        index = yield from index_of_entry(position)
        entries = yield from entries_between(position, position, 1)
        if index is not None and index < size and entries:
            hashes = yield from span_hashes(inclusion_spans(index, size))
            proofs.append(LeafProof(index, entries[0], leaf_of(entries[0], salt_of(secret, position)), tuple(hashes)))
    if not proofs:
        raise ResourceNotFound(f"The log has no leaf of {arn}, or its entries were removed from the audit trail")
    return state, proofs


def proven_resource(arn: str, secret: bytes) -> Steps[tuple[LogState, list[LeafProof]]]:
    """Return what `prove_resource` returns after a verification of each proof; raise ProofInvalid for a wrong one."""
    state, proofs = yield from prove_resource(arn, secret)
    head = head_of(state)
    for proof in proofs:
        verify_inclusion(leaf_hash(proof.leaf), proof.index, head.size, proof.hashes, head.root)
    return state, proofs


def span_hashes(spans: Iterable[Span]) -> Steps[list[bytes]]:
    """Return the hash of each span; raise ResourceNotFound if the log does not have all of it."""
    wanted = list(spans)
    subtrees = {each for span in wanted for each in full_subtrees(span)}
    tiles = {}
    for level, number in {tile_of_subtree(*each) for each in subtrees}:
        tiles[level, number] = (yield from tile(level, number)) or b""
    try:
        return [span_hash(span, lambda height, number: subtree_hash(tiles, height, number)) for span in wanted]
    except ValueError as error:
        raise ResourceNotFound("The log does not have all tiles of its tree") from error


def root_at(size: int) -> Steps[bytes]:
    """Return the root of the tree at this number of leaves; raise ResourceNotFound if the tree is smaller."""
    (root,) = yield from span_hashes([(0, size)])
    return root


def _absent(wanted: Tile) -> ResourceNotFound:
    return ResourceNotFound(f"The log has no {wanted.path}")
