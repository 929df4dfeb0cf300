"""Reading the log: tiles, entries and proofs, as an auditor fetches them."""

import hashlib

import pytest
from tests.support.databases.log import CALLER, append, authority_on, execute, issued, log_on, sequenced

from thingmint.core.certificates.certificate import CertificateStatus
from thingmint.core.errors import OperationUnknown, ResourceNotFound
from thingmint.core.identifiers import CertificateId, certificate_arn
from thingmint.core.transparency.merkle import leaf_hash, verify_inclusion
from thingmint.core.transparency.tiles import TILE_WIDTH, Tile, split_hashes, tiles_of
from thingmint.public.log_pages import LogPages
from thingmint.records.log.entries import delete_entry, entries_between
from thingmint.records.log.tiles import index_of_entry
from thingmint.registration.certificates import certificates
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.reading import head_of, prove_resource, root_at, span_hashes


def entries_of(bundle: bytes) -> list[bytes]:
    entries = []
    while bundle:
        end = 2 + int.from_bytes(bundle[:2], "big")
        entries.append(bundle[2:end])
        bundle = bundle[end:]
    return entries


async def test_every_tile_and_bundle_of_the_checkpoint_is_served(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(300))
    state = await sequenced(store, log)
    pages = LogPages(store, log.salt_secret)
    checkpoint = await pages.page("checkpoint")
    assert (checkpoint.body.decode(), checkpoint.is_immutable) == (state.checkpoint, False)
    assert checkpoint.content_type == b"text/plain; charset=utf-8"
    for tile in tiles_of(state.size):
        page = await pages.page(tile.path)
        assert (len(page.body), page.content_type, page.is_immutable) == (
            tile.width * 32,
            b"application/octet-stream",
            True,
        )
        if tile.level == 0:
            bundle = await pages.page(Tile(0, tile.number, tile.width, is_entries=True).path)
            assert list(map(leaf_hash, entries_of(bundle.body))) == split_hashes(page.body)


async def test_narrower_tiles_of_earlier_checkpoints_stay_the_same(store: Store) -> None:
    log = await log_on(store)
    pages = LogPages(store, log.salt_secret)
    await append(store, range(10))
    await sequenced(store, log)
    before = [(await pages.page(path)).body for path in ("tile/0/000.p/7", "tile/entries/000.p/7")]
    await append(store, range(10, 300))
    await sequenced(store, log)
    assert [(await pages.page(path)).body for path in ("tile/0/000.p/7", "tile/entries/000.p/7")] == before


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/000.p/11",
        "tile/0/001",
        "tile/1/000.p/1",
        "tile/entries/000.p/11",
        "tile/entries/x001/000",
        "tile/63/000",
    ],
)
async def test_tiles_that_the_log_does_not_have_are_not_found(store: Store, path: str) -> None:
    log = await log_on(store)
    await append(store, range(10))
    await sequenced(store, log)
    with pytest.raises(ResourceNotFound, match=path):
        await LogPages(store, log.salt_secret).page(path)


@pytest.mark.parametrize("path", ["", "key", "checkpoint/", "tile", "tile/0/0", "tile/entries/../0/000"])
async def test_other_paths_are_no_pages(store: Store, path: str) -> None:
    log = await log_on(store)
    with pytest.raises(OperationUnknown):
        await LogPages(store, log.salt_secret).page(path)


async def test_entries_that_were_removed_are_not_served_but_their_hashes_are(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(10))
    await sequenced(store, log)
    (entry,) = await store.read(lambda: entries_between(4, 4, 1))
    await store.write(lambda: delete_entry(entry))
    pages = LogPages(store, log.salt_secret)
    assert len((await pages.page("tile/0/000.p/10")).body) == 320
    with pytest.raises(ResourceNotFound):
        await pages.page("tile/entries/000.p/10")


async def test_each_leaf_of_a_certificate_is_proven(store: Store) -> None:
    log = await log_on(store)
    (certificate,) = await issued(store, 1)
    await append(store, range(700))
    identifier = certificate.certificate_id
    await certificates.update_status(authority_on(store), CALLER, identifier, CertificateStatus.REVOKED)
    await sequenced(store, log)
    state, proofs = await store.read(lambda: prove_resource(certificate.arn, log.salt_secret))
    head = head_of(state)
    assert [(proof.index, proof.entry.action) for proof in proofs] == [
        (0, "CreateCertificateFromCsr"),
        (701, "UpdateCertificate"),
    ]
    for proof in proofs:
        verify_inclusion(leaf_hash(proof.leaf), proof.index, head.size, proof.hashes, head.root)


async def test_what_is_not_in_the_log_cannot_be_proven(store: Store) -> None:
    log = await log_on(store)
    unknown = certificate_arn(CALLER.scope, CertificateId(hashlib.sha256(b"").hexdigest()))
    with pytest.raises(ResourceNotFound, match="has no leaf of"):
        await store.read(lambda: prove_resource(unknown, log.salt_secret))
    (certificate,) = await issued(store, 1)
    with pytest.raises(ResourceNotFound, match="has no leaf of"):
        await store.read(lambda: prove_resource(certificate.arn, log.salt_secret))
    await sequenced(store, log)
    await execute(store, "DELETE FROM log_bundle")
    with pytest.raises(ResourceNotFound, match="has no leaf of"):
        await store.read(lambda: prove_resource(certificate.arn, log.salt_secret))


async def test_a_tree_that_is_not_whole_has_no_root(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(10))
    await sequenced(store, log)
    for size in (11, TILE_WIDTH):
        with pytest.raises(ResourceNotFound, match="does not have all tiles"):
            await store.read(lambda: root_at(size))  # noqa: B023  read at once
    assert await store.read(lambda: span_hashes([])) == []


async def test_an_index_is_found_among_bundles_whose_positions_overlap(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(20 * TILE_WIDTH))
    await sequenced(store, log)
    await execute(store, "UPDATE log_bundle SET last_position = 100000, first_position = 0")
    assert await store.read(lambda: index_of_entry(18 * TILE_WIDTH + 1)) == 18 * TILE_WIDTH
    assert await store.read(lambda: index_of_entry(99_999)) is None


async def test_a_bundle_whose_entries_are_far_apart_is_read_whole(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(1500))
    await sequenced(store, log)
    positions = b"".join(position.to_bytes(8, "big") for position in [*range(1, 256), 1500])
    await execute(store, "UPDATE log_bundle SET positions = $1, last_position = 1500 WHERE number = 0", positions)
    body = (await LogPages(store, log.salt_secret).page("tile/entries/000")).body
    assert len(entries_of(body)) == TILE_WIDTH
