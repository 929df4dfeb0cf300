"""The hash tree: what RFC 6962 defines recursively, and the test vectors of its first implementation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.transparency.merkle import (
    EMPTY_ROOT,
    ProofInvalid,
    Span,
    inclusion_spans,
    leaf_hash,
    node_hash,
    root_of,
    span_hash,
    verify_inclusion,
)

# The entries and roots that certificate-transparency's own tests have used since 2012.
VECTORS = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def entries_of(size: int) -> list[bytes]:
    return [number.to_bytes(2, "big") for number in range(size)]


def mth(entries: list[bytes]) -> bytes:
    """MTH, word for word as in RFC 6962, 2.1."""
    if not entries:
        return EMPTY_ROOT
    if len(entries) == 1:
        return leaf_hash(entries[0])
    split = split_of(len(entries))
    return node_hash(mth(entries[:split]), mth(entries[split:]))


def path(index: int, entries: list[bytes]) -> list[bytes]:
    """PATH, word for word as in RFC 6962, 2.1.1."""
    if len(entries) == 1:
        return []
    split = split_of(len(entries))
    if index < split:
        return [*path(index, entries[:split]), mth(entries[split:])]
    return [*path(index - split, entries[split:]), mth(entries[:split])]


def split_of(size: int) -> int:
    split = 1
    while split * 2 < size:
        split *= 2
    return split


def hashes_of(entries: list[bytes], spans: list[Span]) -> list[bytes]:
    return [
        span_hash(span, lambda height, number: mth(entries[number << height : (number + 1) << height]))
        for span in spans
    ]


@pytest.mark.parametrize(("size", "root"), list(enumerate(ROOTS, start=1)))
def test_roots_are_those_of_the_published_vectors(size: int, root: str) -> None:
    assert root_of(list(map(leaf_hash, VECTORS[:size]))).hex() == root


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert root_of([]) == EMPTY_ROOT == span_hash((0, 0), lambda _height, _number: b"")


@pytest.mark.parametrize("size", range(1, 40))
def test_roots_and_proofs_are_those_that_the_rfc_defines(size: int) -> None:
    entries = entries_of(size)
    root = mth(entries)
    assert root_of(list(map(leaf_hash, entries))) == root
    for index in range(size):
        assert hashes_of(entries, inclusion_spans(index, size)) == path(index, entries)
        verify_inclusion(leaf_hash(entries[index]), index, size, path(index, entries), root)


@given(st.data())
def test_a_proof_with_anything_changed_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 200))
    index = data.draw(st.integers(0, size - 1))
    entries = entries_of(size)
    proof = path(index, entries)
    at = data.draw(st.integers(0, len(proof) - 1))
    broken = [bytes([each[0] ^ 1]) + each[1:] if number == at else each for number, each in enumerate(proof)]
    with pytest.raises(ProofInvalid):
        verify_inclusion(leaf_hash(entries[index]), index, size, broken, mth(entries))


def test_a_proof_that_leads_to_another_root_is_refused() -> None:
    entries = entries_of(7)
    proof = path(2, entries)
    with pytest.raises(ProofInvalid, match="from leaf 2 to the root"):
        verify_inclusion(leaf_hash(entries[2]), 2, 7, [*proof[:-1], b"another"], mth(entries))


def test_proofs_of_the_wrong_length_are_refused() -> None:
    entries = entries_of(7)
    with pytest.raises(ProofInvalid, match="has 2 hashes instead of 3"):
        verify_inclusion(leaf_hash(entries[0]), 0, 7, path(0, entries)[:2], mth(entries))


def test_leaves_and_trees_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="has no leaf 7"):
        inclusion_spans(7, 7)
    with pytest.raises(ProofInvalid, match="has no leaf -1"):
        verify_inclusion(b"", -1, 7, [], b"")
