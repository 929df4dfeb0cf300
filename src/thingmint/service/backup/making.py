"""Owns the making of a backup while the service runs: one snapshot of the database, and the files of the directory."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from thingmint import __version__
from thingmint.core.errors import ThingmintError
from thingmint.data_directory.backed_up_files import KeysForBackup, are_sealed, files_for_backup
from thingmint.data_directory.files import errors_name, held, require_replaceable, sync_directory
from thingmint.host.file_locks import AlreadyHeld, lock
from thingmint.records.backups import LastBackup, note_backup
from thingmint.registration.log.reading import present_state
from thingmint.registration.log.sequencing import sequence_all
from thingmint.service.backup.container import Member, write_end, write_member
from thingmint.service.backup.contents import (
    DIGEST,
    FORMAT,
    FORMAT_VERSION,
    HEAD,
    MANIFEST,
    MANIFEST_SEALED_AS,
    PART_BYTES,
    SEALED,
    BackupHead,
    BackupManifest,
    TableDigest,
    digest_of,
    encoded,
    lines_of_rows,
    part_of_rows,
)
from thingmint.service.opening import Registry, registry_beside_service
from thingmint.service.public.transparency import open_log_of
from thingmint.service.start.passphrases import read_passphrase
from thingmint.service.start.storage_choice import database_place
from thingmint.settings.config import Config, StartRefused
from thingmint.storage.copying import CopySource, open_snapshot
from thingmint.storage.sqlite.copied_tables import CopiedTable, copied_tables

_UNFINISHED = ".backup-unfinished"

Progress = Callable[[str, int], None]
"""Receives the name of a table, and how many of its rows were written."""


class BackupMade(Struct, frozen=True):
    """A finished backup, durable under its file name."""

    head: BackupHead
    manifest: BackupManifest
    size: int
    is_recorded: bool
    """Whether the database has the time of the backup, for the metric and `thingmint doctor`."""


@dataclass(frozen=True, slots=True)
class KeySealing:
    """What seals the keys in a backup: a separate passphrase, else that of the directory; or nothing, if allowed."""

    passphrase: bytes | None = field(default=None, repr=False)
    may_be_clear: bool = False


def leftovers(file: Path) -> list[Path]:
    """Return the temporary files of interrupted and running backups in the file's directory."""
    return sorted(file.absolute().parent.glob(f".*{_UNFINISHED}"))


async def make_backup(config: Config, file: Path, sealing: KeySealing, progress: Progress) -> BackupMade:
    """Write a backup of the service and return when it is durable; a failure does not change an earlier file.

    Every change that was acknowledged before the call is in the backup. Raises StartRefused if the directory or the
    database cannot be used or keys would not be encrypted, DirectoryInUse, AuthorityUnusable, ServiceUnavailable,
    OSError.
    """
    require_replaceable(file)
    present = read_passphrase(config.ca_passphrase_file, os.environ)
    if not (sealing.passphrase or present or sealing.may_be_clear or are_sealed(config.data_dir)):
        raise StartRefused(
            f"the keys in {config.data_dir} are not sealed: name the file of a passphrase for the backup with "
            "--passphrase-file, or have them in the clear with --unsealed-keys"
        )
    async with registry_beside_service(config) as registry:
        log = await open_log_of(registry)
        began_at = registry.clock.now()
        await sequence_all(registry.store, log)
        keys = KeysForBackup(present, sealing.passphrase)
        with held(config.data_dir / "keys", "thingmint backup"):
            files = dict(files_for_backup(config.data_dir, keys, registry.sealer))
        is_sealed = bool(sealing.passphrase or present or are_sealed(config.data_dir))
        async with open_snapshot(database_place(config)) as source:
            state = await source.read(present_state)
            head = BackupHead(
                format=FORMAT,
                format_version=FORMAT_VERSION,
                thingmint=__version__,
                engine="sqlite" if config.database_url is None else "postgresql",
                schema_version=source.schema_version,
                began_at=began_at.isoformat(),
                account=config.account,
                region=config.region,
                keys_are_sealed=is_sealed,
                log_key=state.key.text,
                checkpoint=state.checkpoint,
            )
            with errors_name(file), _replaced(file) as opened:
                manifest = await _write(opened, head, files, source, registry, progress)
                size = opened.tell()
        is_recorded = await _record(registry, LastBackup(began_at, registry.clock.now(), size))
    return BackupMade(head, manifest, size, is_recorded)


async def _record(registry: Registry, made: LastBackup) -> bool:
    try:
        await registry.store.write(lambda: note_backup(made))
    except ThingmintError:
        # The file is durable and whole, so the backup has not failed.
        return False
    return True


async def _write(
    file: BinaryIO,
    head: BackupHead,
    files: dict[str, bytes],
    source: CopySource,
    registry: Registry,
    progress: Progress,
) -> BackupManifest:
    named = {HEAD: encoded(head)} | files
    for name, content in named.items():
        write_member(file, Member(name, content))
    tables = [await _write_table(file, source, table, progress) for table in copied_tables(source.schema_version)]
    manifest = BackupManifest({name: digest_of(content) for name, content in named.items()}, tables)
    content = encoded(manifest)
    sealed = registry.sealer.seal(digest_of(content).encode(), MANIFEST_SEALED_AS)
    write_member(file, Member(MANIFEST, content))
    write_member(file, Member(SEALED, sealed))
    write_member(file, Member(DIGEST, f"{digest_of(content + sealed)}\n".encode()))
    write_end(file)
    return manifest


async def _write_table(file: BinaryIO, source: CopySource, table: CopiedTable, progress: Progress) -> TableDigest:
    count, parts, digest = 0, 0, hashlib.sha256()
    waiting: list[bytes] = []
    waiting_bytes = 0

    def write_part() -> None:
        nonlocal parts, waiting_bytes
        parts += 1
        part = part_of_rows(table, waiting, parts)
        digest.update(part.content)
        write_member(file, part)
        waiting.clear()
        waiting_bytes = 0

    async for rows in source.rows(table):
        for line in lines_of_rows(table, rows):
            waiting.append(line)
            waiting_bytes += len(line)
            if waiting_bytes >= PART_BYTES:
                write_part()
        count += len(rows)
        progress(table.name, count)
    if waiting:
        write_part()
    last_number = await source.last_number(table) if table.is_numbered else 0
    return TableDigest(table.name, count, parts, digest.hexdigest(), last_number)


@contextlib.contextmanager
def _replaced(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that replaces the path, durable and with mode 0600, when the context ends without an exception.

    Raises StartRefused if another process is writing it.
    """
    temporary = path.absolute().with_name(f".{path.name}{_UNFINISHED}")
    with os.fdopen(os.open(temporary, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600), "wb") as file:
        try:
            lock(file.fileno())
        except AlreadyHeld:
            raise StartRefused(f"another backup to {path} is running") from None
        if not temporary.exists() or not os.path.samestat(os.fstat(file.fileno()), temporary.stat()):
            raise StartRefused(f"another backup to {path} has just ended")
        try:
            file.truncate()
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), 0o600)
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    sync_directory(path.absolute().parent)
