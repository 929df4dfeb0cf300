"""Owns the restore of a backup into an empty directory and an empty database, and its verification before use.

1. The file is checked, and the directory marked. No service starts on the directory until the mark is removed.
2. Files are written, then all tables, in one transaction, which stays open.
3. In this transaction, keys, signatures and the log are verified, and later changes are replayed.
4. The transaction is committed. On SQLite, the database file gets its final name. The mark is removed.

A restore that is interrupted before step 4 leaves no database, and the same command starts over. If only the mark is
left, the command removes it.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from thingmint.core.audit_entry import audit_entry
from thingmint.core.caller import Caller
from thingmint.core.error_text import in_words
from thingmint.core.identifiers import AccountId, Region, Scope, iot_arn
from thingmint.core.issuer import IssuerRecord, KeyPlace
from thingmint.data_directory.authorities import AuthorityFiles
from thingmint.data_directory.backed_up_files import (
    present_files,
    unseal_credentials,
    write_file_of_backup,
)
from thingmint.data_directory.certificate_files import AuthorityUnusable
from thingmint.data_directory.files import held, make_directory, sync_directory
from thingmint.data_directory.sealing import Sealer
from thingmint.data_directory.unfinished_restore import RestoreMark, read_mark, remove_mark, set_mark
from thingmint.issuance.authorities.issuing_ca import IssuerUnfit
from thingmint.issuance.keys.log_signature import is_signed
from thingmint.records.audit import append_audit
from thingmint.records.certificates.signed_rows import count_certificates
from thingmint.records.log.restores import is_restored
from thingmint.registration.issuers.issuers import list_issuers
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.identity import LogIdentity, unsealed
from thingmint.registration.log.reading import present_state
from thingmint.registration.log.verification import verify_store
from thingmint.registration.log.verified import Archive, Evidence, Verified
from thingmint.registration.recovery.signatures import VerifiedSignatures, verify_signatures
from thingmint.service.backup.container import BackupDamaged
from thingmint.service.backup.contents import TABLES, BackupHead, rows_of_part
from thingmint.service.backup.later import LaterFiles, LaterFound, replay_later
from thingmint.service.backup.reading import BackupReader
from thingmint.service.clocks import SystemClock
from thingmint.service.issuers.known_issuers import IssuerSources, KnownIssuers
from thingmint.service.issuers.tokens import Tokens
from thingmint.service.opening import serial_numbers
from thingmint.service.start.first_credentials import operator, require_own_database
from thingmint.service.start.passphrases import read_passphrase
from thingmint.service.start.storage_choice import database_place, remember_storage
from thingmint.settings.config import Config, StartRefused
from thingmint.signers.log_key import LogKeySigner
from thingmint.storage import SQLITE_FILE_NAME, InvalidDatabaseURL
from thingmint.storage.copying import CopyTarget, TargetNotEmpty, open_snapshot, open_target
from thingmint.storage.sqlite.copied_tables import copied_tables, newest_version

RESTORING = f"{SQLITE_FILE_NAME}.restoring"
_SQLITE_FILES = tuple(f"{name}{suffix}" for name in (SQLITE_FILE_NAME, RESTORING) for suffix in ("", "-wal", "-shm"))

Shown = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows the progress of a step; receives its name and the number of its parts."""


class RestoreRefused(Exception):
    """The contents of the backup contradict each other; each line of the message is a finding."""


@dataclass(frozen=True, slots=True)
class Restored:
    """The result of a restore. ``later`` is None if an earlier run had done everything except removing the mark.

    ``findings`` are the contradictions that the operator accepted.
    """

    head: BackupHead
    rows: int = 0
    signatures: VerifiedSignatures = field(default_factory=VerifiedSignatures)
    log: Verified | None = None
    later: LaterFound | None = None
    tokens: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RestoreInput:
    """The operator's further input: files about later changes, and archives of pruned entries."""

    later: LaterFiles = field(default_factory=LaterFiles)
    archive: Archive = lambda: iter(())
    accepts_findings: bool = False
    """Whether rows that contradict their signatures or the log are restored unchanged."""
    passphrase: bytes | None = field(default=None, repr=False)
    """The passphrase of the backup; without it, that of the setting ca_passphrase_file is used."""


class _Opened(Struct, frozen=True):
    """What was opened with the keys of the backup."""

    sealer: Sealer
    sources: IssuerSources


async def restore(config: Config, path: Path, given: RestoreInput, shown: Shown) -> Restored:
    """Restore a backup; return when the service may be started.

    Raises StartRefused if the directory or the database is not empty or the settings do not fit, DirectoryInUse,
    BackupDamaged, RestoreRefused, TailUnusable, ListUnusable, CheckpointInvalid, AuthorityUnusable, ServiceUnavailable,
    OSError.
    """
    passphrase = given.passphrase or read_passphrase(config.ca_passphrase_file, os.environ)
    with path.open("rb") as file:
        checked = BackupReader(file)
        with shown("bytes checked", os.fstat(file.fileno()).st_size) as progress:
            for _ in checked.contents():
                progress(file.tell())
        checked.head.signed_checkpoint()
        _require_fit(config, checked.head)
        checked.require_sealed_by(checked.sealer(passphrase))
        make_directory(config.data_dir)
        with held(config.data_dir, "thingmint restore"):
            mark = _marked(config.data_dir, checked.manifest_digest)
            tokens = Tokens(config)
            try:
                opened = _write_and_open(config, checked, passphrase, tokens)
                file.seek(0)
                restored = await _restore(config, BackupReader(file), checked.manifest.rows, opened, mark, given, shown)
            except TargetNotEmpty as error:
                if not await _has_ended(config, mark):
                    raise StartRefused(in_words(error)) from error
                restored = Restored(checked.head)
            except InvalidDatabaseURL as error:
                raise StartRefused(in_words(error)) from error
            finally:
                await tokens.close()
            remember_storage(config)
            remove_mark(config.data_dir)
    return restored


async def _restore(
    config: Config,
    reader: BackupReader,
    rows: int,
    opened: _Opened,
    mark: RestoreMark,
    given: RestoreInput,
    shown: Shown,
) -> Restored:
    place = database_place(config)
    into = config.data_dir / RESTORING if isinstance(place, Path) else place
    async with open_target(into, reader.head.schema_version) as target:
        with shown("rows restored", rows) as progress:
            await _fill(reader, target, progress)
        await target.complete()
        restored = await _verified(config, target.store, opened, reader.head, given, shown)
        found = await _replayed(config, target.store, opened, reader.head, mark, given.later)
    if isinstance(into, Path) and isinstance(place, Path):
        into.replace(place)
        sync_directory(place.parent)
    return replace(restored, rows=rows, later=found)


def _write_and_open(config: Config, checked: BackupReader, passphrase: bytes | None, tokens: Tokens) -> _Opened:
    """Write the files and open every key; each key must match its certificate."""
    for name, content in checked.files.items():
        write_file_of_backup(config.data_dir, name, content)
    opened = _open_keys(config, passphrase, tokens)
    unseal_credentials(config.data_dir, opened.sealer)
    return opened


async def _fill(reader: BackupReader, target: CopyTarget, progress: Callable[[int], None]) -> None:
    tables = {table.name: table for table in copied_tables(reader.head.schema_version)}
    done = 0
    for member in reader.contents():
        if not member.name.startswith(TABLES):
            continue
        table = tables.get(member.name.split("/")[1])
        if table is None:
            raise BackupDamaged(f"{member.name} is of no table of schema version {reader.head.schema_version}")
        rows = rows_of_part(table, member)
        await target.add(table, rows)
        done += len(rows)
        progress(done)
    for each in reader.manifest.tables:
        if tables[each.name].is_numbered:
            await target.go_on_after(tables[each.name], each.last_number)


def _open_keys(config: Config, passphrase: bytes | None, tokens: Tokens) -> _Opened:
    files = AuthorityFiles(
        data_dir=config.data_dir,
        passphrase=passphrase,
        key_type=config.ca_key_type,
        serial_numbers=serial_numbers,
        now=SystemClock().now,
        may_create=False,
    )
    try:
        authorities = files.open()
    except AuthorityUnusable as error:
        raise StartRefused(in_words(error)) from error
    sealer = Sealer(authorities.sealing_key_material, os.urandom)
    return _Opened(sealer, IssuerSources(authorities, sealer, tokens, config.profile))


async def _verified(
    config: Config, store: Store, opened: _Opened, head: BackupHead, given: RestoreInput, shown: Shown
) -> Restored:
    records = await list_issuers(store)
    known = _known(opened.sources, records)
    issuer_ids = {each.ca.issuer_id for each in known}
    await require_own_database(store, opened.sealer, issuer_ids, config.data_dir)
    total = await store.read(count_certificates)
    with shown("certificates verified", total) as progress:
        signatures = await verify_signatures(store, [each.chain[0] for each in known], progress)
    state = await store.read(present_state)
    log = unsealed(state, opened.sealer, LogKeySigner)
    if state.checkpoint != head.checkpoint or state.key != head.key:
        raise RestoreRefused("the checkpoint that the backup begins with is not that of its database")
    with shown("leaves verified", state.size) as progress:
        evidence = Evidence(
            log.salt_secret,
            is_signed,
            given.archive,
            progress=lambda done, _all: progress(done),
            needs_all_leaves=False,
        )
        verified = await verify_store(store, evidence)
    findings = (*signatures.findings, *verified.findings)
    if findings and not given.accepts_findings:
        raise RestoreRefused("\n".join(findings))
    return Restored(head, signatures=signatures, log=verified, tokens=_tokens(records), findings=findings)


def _known(sources: IssuerSources, records: Sequence[IssuerRecord]) -> KnownIssuers:
    try:
        known = sources.known(records)
    except IssuerUnfit as error:
        raise RestoreRefused(in_words(error)) from error
    active = known.active
    if active.ca.signer is None and active.record.key_place is not KeyPlace.TOKEN:
        raise RestoreRefused(f"the key of the active issuer {active.record.name} is not in the backup")
    return known


def _tokens(records: Sequence[IssuerRecord]) -> tuple[str, ...]:
    return tuple([each.token_uri for each in records if each.key_place is KeyPlace.TOKEN and each.token_uri])


async def _replayed(
    config: Config, store: Store, opened: _Opened, head: BackupHead, mark: RestoreMark, later: LaterFiles
) -> LaterFound:
    log = unsealed(await store.read(present_state), opened.sealer, LogKeySigner)
    caller, now = _operator(config), SystemClock().now()
    known = _known(opened.sources, await list_issuers(store))
    found = await replay_later(store, log, opened.sealer, [each.ca for each in known], later, caller, now)
    await _record(store, caller, now, head, mark, log, found)
    return found


async def _record(
    store: Store,
    caller: Caller,
    now: datetime,
    head: BackupHead,
    mark: RestoreMark,
    log: LogIdentity,
    found: LaterFound,
) -> None:
    entry = audit_entry(
        caller,
        now,
        "RestoreBackup",
        iot_arn(caller.scope, "log"),
        backup_began_at=head.began_at,
        manifest_sha256=mark.manifest_sha256,
        restore_id=mark.restore_id,
        former_log=log.key.origin,
        leaves=str(found.size),
    )
    await store.write(lambda: append_audit(entry))


def _operator(config: Config) -> Caller:
    return operator(Scope(AccountId(config.account), Region(config.region)))


async def _has_ended(config: Config, mark: RestoreMark) -> bool:
    """Return whether an earlier run has committed this restore, so that only its mark is left."""
    async with open_snapshot(database_place(config)) as source:
        if source.schema_version != newest_version():
            return False
        return await source.read(lambda: is_restored(mark.restore_id))


def _require_fit(config: Config, head: BackupHead) -> None:
    if head.schema_version > newest_version():
        raise StartRefused(
            f"the backup has schema version {head.schema_version}, this version of Thingmint understands up to "
            f"{newest_version()}: restore it with Thingmint {head.thingmint} or a later version"
        )
    if (head.account, head.region) != (config.account, config.region):
        raise StartRefused(
            f"the backup is of account {head.account} in {head.region}: give --account {head.account} "
            f"--region {head.region}, now and at each start"
        )


def _marked(data_dir: Path, manifest_digest: str) -> RestoreMark:
    """Mark the directory and return the mark; first delete what an interrupted restore has left in it."""
    before = read_mark(data_dir)
    present = present_files(data_dir, *_SQLITE_FILES)
    if before is None and present:
        raise StartRefused(
            f"{data_dir} is not empty, it has {', '.join(path.name for path in present)}: a backup is restored into an "
            "empty directory"
        )
    if before is None or before.manifest_sha256 != manifest_digest:
        before = RestoreMark(secrets.token_hex(16), manifest_digest)
    set_mark(data_dir, before)
    for path in present:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return before
