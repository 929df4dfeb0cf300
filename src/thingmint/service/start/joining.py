"""Owns the transfer of a service's keys to a node that joins: sealed, through the database.

The database holds the sealing key, encrypted with the passphrase of the keys, and the other files, sealed by the
sealing key. There are three cases. A node whose directory has a root keeps its files and adds to the database those
that it lacks. A directory without a root is filled from the database. If both are empty, a new service is made in a
temporary folder and offered to the database. If several nodes offer one at once, the database takes one of them, and
all nodes get its files.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from thingmint.data_directory.authorities import ROOT, sealing_key_material
from thingmint.data_directory.certificate_files import certificate_path, is_sealed
from thingmint.data_directory.files import make_directory, write_durably
from thingmint.data_directory.sealing import Sealer
from thingmint.data_directory.shared_files import issuer_of_key, read_shared, shared_names, write_shared
from thingmint.host.service_log import service_log
from thingmint.issuance.keys.private_keys import (
    PrivateKey,
    PrivateKeyError,
    dump_private_key,
    load_private_key,
)
from thingmint.records import authority_copies as copy_table
from thingmint.records import issuers as issuer_table
from thingmint.records.access import access_keys as access_key_table
from thingmint.records.authority_copies import SEALING_KEY, AuthorityCopy
from thingmint.records.steps import Steps
from thingmint.registration.kernel.ports import SecretSealer, Store
from thingmint.service.start.first_credentials import CREDENTIALS_WANTED
from thingmint.settings.config import StartRefused

_NEW_SERVICE = "new-service"


async def join(store: Store, data_dir: Path, passphrase: bytes | None, make: Callable[[Path], object]) -> None:
    """Fill a directory without a root with the files of the database's service, or of a new one, made by ``make``.

    Without a passphrase nothing is shared, and the caller makes a service in the directory. Raises StartRefused if the
    files of the database's service cannot be read, ServiceUnavailable, AuthorityUnusable or OSError.
    """
    folder = data_dir / _NEW_SERVICE
    if certificate_path(data_dir, ROOT).exists():
        _remove(folder)
        return
    copies = await store.read(copy_table.copies)
    if not copies:
        await _require_empty(store, data_dir)
        if passphrase is None:
            return
        _remove(folder)
        make_directory(folder)
        make(folder)
        copies = await _offer(store, folder, passphrase)
    if passphrase is None:
        raise StartRefused(
            "the keys of the service are in the database, sealed by a passphrase: give its file with "
            "--ca-passphrase-file, THINGMINT_CA_PASSPHRASE_FILE or ca_passphrase_file"
        )
    sealing_key = _sealing_key(copies, passphrase)
    sealer = _sealer(sealing_key)
    write_durably(data_dir / CREDENTIALS_WANTED, b"")
    opened = {name: sealer.unseal(each, _bound_to(name)) if each else b"" for name, each in _others(copies)}
    write_shared(data_dir, {**opened, SEALING_KEY: dump_private_key(sealing_key, None)}, passphrase)
    _remove(folder)
    service_log.info("this node has taken the keys of the service from the database")


async def share(store: Store, sealer: SecretSealer, data_dir: Path, passphrase: bytes | None) -> None:
    """Add to the database the files that it lacks and its nodes need; without a passphrase, do nothing.

    The caller has checked that the database belongs to the directory's keys. Raises ServiceUnavailable,
    AuthorityUnusable or OSError.
    """
    if passphrase is None:
        return
    present = set(await store.read(copy_table.names))
    missing = [name for name in shared_names(data_dir) if name not in present]
    if not missing:
        return
    added = [_sealing_copy(data_dir, passphrase)] if SEALING_KEY in missing else []
    added += [_copy(sealer, data_dir, name, passphrase) for name in missing if name != SEALING_KEY]

    def program() -> Steps[None]:
        yield from copy_table.add_missing(added)

    await store.write(program)
    service_log.info(
        "nodes that have the passphrase can join: the database has the service's keys, sealed", added=missing
    )


async def reseal_copy(store: Store, present: bytes | None, wanted: bytes | None) -> str:
    """Encrypt the database's copy of the sealing key with another passphrase; without one, delete all copies.

    Returns a sentence about the result. Raises ServiceUnavailable.
    """
    stored = (await store.read(copy_table.copies)).get(SEALING_KEY)
    if stored is None:
        return "the database has no copies of the keys"
    if wanted is None:
        await store.write(copy_table.delete_all)
        return "the copies of the keys in the database are deleted"
    if _opens(stored, wanted):
        return "the copies of the keys in the database have this passphrase"
    if present is None or not _opens(stored, present):
        return "the copies of the keys in the database have another passphrase, which nodes need that join"
    after = dump_private_key(load_private_key(stored, present), wanted)
    if await store.write(lambda: copy_table.replace_sealing_key(stored, after)):
        return "the copies of the keys in the database have the new passphrase"
    return "the copies of the keys in the database were sealed by another command at the same time: look again"


async def _require_empty(store: Store, data_dir: Path) -> None:
    """Return if a new service may be made for this database; raise StartRefused otherwise, saying what to do."""
    issuers = await store.read(issuer_table.issuer_states)
    access_keys = await store.read(lambda: access_key_table.access_keys(None))
    if issuers or access_keys:
        raise StartRefused(
            f"the database belongs to a service whose keys are neither in it nor in {data_dir}: start one of its nodes "
            "with ca_passphrase_file, after which others join with that passphrase; or copy keys/, certificates/ and "
            f"credentials of that node to {data_dir}; or use another database"
        )


async def _offer(store: Store, folder: Path, passphrase: bytes) -> Mapping[str, bytes]:
    """Offer a new service to the database; return the copies that it now has: these, or those of another node."""
    sealing_key = _sealing_copy(folder, passphrase)
    sealer = _sealer(load_private_key(sealing_key.content, passphrase))
    others = [_copy(sealer, folder, name, passphrase) for name in shared_names(folder) if name != SEALING_KEY]

    def program() -> Steps[Mapping[str, bytes]]:
        yield from copy_table.add_all(sealing_key, others)
        return (yield from copy_table.copies())

    return await store.write(program)


def _sealing_key(copies: Mapping[str, bytes], passphrase: bytes) -> PrivateKey:
    try:
        return load_private_key(copies.get(SEALING_KEY, b""), passphrase)
    except PrivateKeyError as error:
        raise StartRefused("the passphrase does not open the keys in the database, which other nodes use") from error


def _others(copies: Mapping[str, bytes]) -> Sequence[tuple[str, bytes]]:
    return [(name, content) for name, content in copies.items() if name != SEALING_KEY]


def _sealing_copy(data_dir: Path, passphrase: bytes) -> AuthorityCopy:
    stored = (data_dir / SEALING_KEY).read_bytes()
    if not is_sealed(stored):
        stored = dump_private_key(load_private_key(stored, None), passphrase)
    return AuthorityCopy(SEALING_KEY, stored)


def _copy(sealer: SecretSealer, data_dir: Path, name: str, passphrase: bytes) -> AuthorityCopy:
    content = read_shared(data_dir, name, passphrase)
    return AuthorityCopy(name, sealer.seal(content, _bound_to(name)), issuer_of_key(data_dir, name))


def _sealer(sealing_key: PrivateKey) -> Sealer:
    return Sealer(sealing_key_material(SEALING_KEY, sealing_key), os.urandom)


def _opens(stored: bytes, passphrase: bytes) -> bool:
    try:
        load_private_key(stored, passphrase)
    except PrivateKeyError:
        return False
    return True


def _bound_to(name: str) -> str:
    return f"authority file {name}"


def _remove(folder: Path) -> None:
    """Remove the temporary folder of a first start, if it exists."""
    if folder.exists():
        shutil.rmtree(folder)
