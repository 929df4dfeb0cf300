"""Nodes get the keys of their service from the database, sealed; a crash anywhere leaves a start that completes it."""

import asyncio
import contextlib
import errno
import itertools
import os
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.support.machine.soak import examples

from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.data_directory import authorities as authority_files
from thingmint.data_directory import handover, retired_issuers, shared_files
from thingmint.data_directory.authorities import Authorities, AuthorityFiles
from thingmint.data_directory.certificate_files import AuthorityUnusable, is_sealed, key_path
from thingmint.data_directory.files import make_directory, write_durably
from thingmint.data_directory.handover import read_credentials
from thingmint.data_directory.retired_issuers import destroy_key_files
from thingmint.data_directory.sealing import Sealer
from thingmint.data_directory.shared_files import ROOT_KEY
from thingmint.issuance.authorities.issuing_ca import issuer_id_of
from thingmint.issuance.keys.private_keys import load_private_key
from thingmint.issuance.profiles.serial_number import random_serial_number
from thingmint.records import authority_copies as copy_table
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.authority_copies import SEALING_KEY, AuthorityCopy
from thingmint.registration.kernel.ports import Store
from thingmint.service.clocks import SystemClock
from thingmint.service.start import joining
from thingmint.service.start.first_credentials import ensure_credentials
from thingmint.service.start.joining import join, reseal_copy, share
from thingmint.settings.config import StartRefused, load_config
from thingmint.storage import open_store

SCOPE = Scope(AccountId("000000000000"), Region("us-east-1"))
STRIDE = examples(6, 1)
PASSPHRASE, OTHER = b"the passphrase of the keys", b"another passphrase"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    make_directory(tmp_path / "database")
    opened = await open_store(None, tmp_path / "database", observe=lambda kind, seconds: None)
    yield opened
    await opened.close()


def files_in(data_dir: Path, passphrase: bytes | None = PASSPHRASE) -> AuthorityFiles:
    numbers = lambda: random_serial_number(os.urandom)  # noqa: E731  one line of a constructor
    return AuthorityFiles(data_dir, passphrase, "ecdsa-p256", numbers, lambda: datetime.now(UTC), True)


@dataclass
class FullDisk:
    """Takes so many files."""

    left: int
    was_full: bool = False

    def write_durably(self, path: Path, content: bytes, mode: int = 0o600) -> None:
        """Write a file, or raise what a full disk does."""
        if not self.left:
            self.was_full = True
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= 1
        write_durably(path, content, mode)


def sealer_of(authorities: Authorities) -> Sealer:
    return Sealer(authorities.sealing_key_material, os.urandom)


async def started(store: Store, data_dir: Path, passphrase: bytes | None = PASSPHRASE) -> Authorities:
    """Do what a start does with the keys."""
    make_directory(data_dir)
    await join(store, data_dir, passphrase, lambda folder: files_in(folder, passphrase).open())
    authorities = files_in(data_dir, passphrase).open()
    sealer = sealer_of(authorities)
    await share(store, sealer, data_dir, passphrase)
    config = load_config({"data_dir": str(data_dir)}, {})
    await ensure_credentials(store, sealer, (), SystemClock(), SCOPE, config)
    return authorities


def anchors_of(authorities: Authorities) -> list[bytes]:
    """Return what shows that two nodes are of one service."""
    issuing = b"" if authorities.own_issuer is None else authorities.own_issuer.certificate.tbs_certificate_bytes
    own = (authorities.root, authorities.service.certificate, *authorities.anchors)
    return [*(each.tbs_certificate_bytes for each in own), issuing, authorities.sealing_key_material]


async def test_a_node_joins_with_the_passphrase_alone(store: Store, tmp_path: Path) -> None:
    first = await started(store, tmp_path / "first")
    second = await started(store, tmp_path / "second")
    assert anchors_of(second) == anchors_of(first)
    assert second.root_signer is not None
    assert read_credentials(tmp_path / "second") == read_credentials(tmp_path / "first") is not None
    # A file that an operator has deleted is not written again.
    (tmp_path / "second" / "credentials").unlink()
    await started(store, tmp_path / "second")
    assert read_credentials(tmp_path / "second") is None
    for name in ("first", "second"):
        assert not (tmp_path / name / "new-service").exists()
        for path in (tmp_path / name / "keys").glob("*.key"):
            assert is_sealed(path.read_bytes())
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # What the database holds can be opened by the passphrase alone.
    contents = await store.read(copy_table.copies)
    assert len(contents) == 9
    assert not [name for name, content in contents.items() if b"BEGIN" in content]
    load_private_key(contents[SEALING_KEY], PASSPHRASE)


async def test_first_starts_at_the_same_time_make_one_service(store: Store, tmp_path: Path) -> None:
    both = await asyncio.gather(*(started(store, tmp_path / name) for name in ("first", "second")))
    assert anchors_of(both[0]) == anchors_of(both[1])
    assert read_credentials(tmp_path / "first") == read_credentials(tmp_path / "second") is not None
    assert len(await store.read(lambda: access_key_table.access_keys(None))) == 1


@pytest.mark.parametrize("is_first", [True, False], ids=["first start", "join"])
async def test_a_start_that_is_cut_off_anywhere_is_completed_by_the_next(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    before = None if is_first else anchors_of(await started(store, tmp_path / "first"))
    for cut_off in itertools.count(0, STRIDE):
        data_dir, disk = tmp_path / f"node-{cut_off}", FullDisk(cut_off)
        if is_first:
            await emptied(store)
        with monkeypatch.context() as patch, contextlib.suppress(OSError):
            for module in (authority_files, handover, joining, retired_issuers, shared_files):
                patch.setattr(module, "write_durably", disk.write_durably)
            interrupted = await started(store, data_dir)
        if not disk.was_full:
            assert before is None or anchors_of(interrupted) == before
            break
        kept = await store.read(copy_table.copies)
        completed = await started(store, data_dir)
        assert before is None or anchors_of(completed) == before
        # What was offered once is what counts.
        assert not kept or kept == await store.read(copy_table.copies)
    assert cut_off > (18 if is_first else 9)


async def emptied(store: Store) -> None:
    """Make the database that of no service."""
    await store.write(copy_table.delete_all)
    for each in await store.read(lambda: access_key_table.access_keys(None)):
        await store.write(partial(access_key_table.delete_access_key, each.access_key_id))


async def refusal(start: Callable[[], Any]) -> str:
    with pytest.raises((StartRefused, AuthorityUnusable)) as refused:
        await start()
    return str(refused.value)


async def test_what_cannot_join_is_refused_and_leaves_no_keys(store: Store, tmp_path: Path) -> None:
    await started(store, tmp_path / "first")
    said = await refusal(partial(started, store, tmp_path / "second", OTHER))
    assert said == "the passphrase does not open the keys in the database, which other nodes use"
    assert "give its file with --ca-passphrase-file" in await refusal(
        partial(started, store, tmp_path / "second", None)
    )
    assert not list((tmp_path / "second").rglob("*.key"))
    # A key that nobody shares is not overwritten.
    key = key_path(tmp_path / "second", "sealing")
    make_directory(key.parent)
    key.write_bytes(b"-----BEGIN nothing")
    assert "keys/sealing.key" in await refusal(partial(started, store, tmp_path / "second"))
    key.write_bytes(key_path(tmp_path / "first", "issuing-ca").read_bytes())
    assert "is not the key that the nodes of the database have" in await refusal(
        partial(started, store, tmp_path / "second")
    )
    key.unlink()
    await store.write(lambda: copy_table.delete_all())
    said = await refusal(partial(started, store, tmp_path / "third"))
    assert "the database belongs to a service whose keys are neither in it nor in" in said


async def test_a_directory_from_before_shares_its_keys_and_joiners_get_none_that_was_destroyed_or_taken_out(
    store: Store, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    make_directory(old)
    # Without a passphrase, nothing is shared; a key in the clear is sealed on its way.
    before = await started(store, old, None)
    assert not await store.read(copy_table.names)
    with_passphrase = await started(store, old)
    assert anchors_of(with_passphrase) == anchors_of(before)
    assert before.own_issuer is not None
    issuing = before.own_issuer.certificate
    await store.write(lambda: copy_table.take_out_issuer(issuer_id_of(issuing)))
    assert await store.write(lambda: copy_table.take_out(ROOT_KEY))
    assert not await store.write(lambda: copy_table.take_out(ROOT_KEY))
    # A restart of a node that still has it brings neither back.
    await started(store, old)
    joined = await started(store, tmp_path / "joined")
    assert joined.root_signer is None
    assert joined.own_issuer is None
    assert [each.chain[0] for each in joined.retired] == [issuing]
    # A directory whose issuer's key was destroyed shares that, too.
    await store.write(copy_table.delete_all)
    destroy_key_files(old, issuing, issuing)
    await started(store, old)
    again = await started(store, tmp_path / "again")
    assert again.own_issuer is None
    assert [each.chain[0] for each in again.retired] == [issuing]


async def test_the_passphrase_of_the_copies_is_changed(store: Store, tmp_path: Path) -> None:
    assert await reseal_copy(store, None, OTHER) == "the database has no copies of the keys"
    first = await started(store, tmp_path / "first")
    assert "have another passphrase" in await reseal_copy(store, None, OTHER)
    assert "have the new passphrase" in await reseal_copy(store, PASSPHRASE, OTHER)
    # As after a command that was cut off: once more.
    assert "have this passphrase" in await reseal_copy(store, PASSPHRASE, OTHER)
    assert anchors_of(await started(store, tmp_path / "second", OTHER)) == anchors_of(first)
    assert "are deleted" in await reseal_copy(store, OTHER, None)
    assert not await store.read(copy_table.names)


async def test_a_copy_without_the_root_is_refused(store: Store, tmp_path: Path) -> None:
    first = await started(store, tmp_path / "first")
    sealing = (tmp_path / "first" / SEALING_KEY).read_bytes()
    await store.write(copy_table.delete_all)
    await store.write(lambda: copy_table.add_all(AuthorityCopy(SEALING_KEY, sealing), ()))
    assert "no copy of certificates/root-ca.pem" in await refusal(partial(started, store, tmp_path / "second"))
    assert first.root_signer is not None
