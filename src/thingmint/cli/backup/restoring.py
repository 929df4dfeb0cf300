"""`thingmint restore`: runs a restore and prints its result, above all what is missing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import click
from msgspec import Struct

from thingmint.cli.log.files import lines_of_archives
from thingmint.cli.settings import fail
from thingmint.cli.terminal.progress import shown_progress
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.core.transparency.checkpoint import CheckpointInvalid
from thingmint.core.transparency.growing_tree import TreeDamaged
from thingmint.data_directory.certificate_files import AuthorityUnusable
from thingmint.data_directory.files import DirectoryInUse
from thingmint.data_directory.unfinished_restore import RestoreUnfinished
from thingmint.host.given_files import read_given
from thingmint.issuance.revocation.revocation_list import ListUnusable
from thingmint.registration.log.exported import LineUnreadable, leaves_of_lines
from thingmint.registration.recovery.later_changes import Replayed
from thingmint.service.backup.checkpoints import checkpoint_of
from thingmint.service.backup.container import BackupDamaged
from thingmint.service.backup.later import LaterFiles, LaterFound
from thingmint.service.backup.log_tails import TailUnusable
from thingmint.service.backup.restoring import Restored, RestoreInput, RestoreRefused, restore
from thingmint.service.start.passphrases import read_passphrase_source
from thingmint.settings.config import Config, StartRefused

# A list of a million certificates has 40 MB.
_MOST_BYTES_OF_LIST = 512 * 1024 * 1024
_ERRORS = (
    AuthorityUnusable,
    BackupDamaged,
    CheckpointInvalid,
    DirectoryInUse,
    LineUnreadable,
    ListUnusable,
    OSError,
    RestoreUnfinished,
    StartRefused,
    TailUnusable,
    ThingmintError,
    TreeDamaged,
)


class RestoreOptions(Struct, frozen=True):
    """The files that were given in addition to the backup."""

    passphrase_file: Path | None = None
    checkpoints: tuple[Path, ...] = ()
    lists: tuple[Path, ...] = ()
    log_tail: Path | None = None
    archives: tuple[Path, ...] = ()
    accepts_findings: bool = False


def restore_service(config: Config, file: Path, options: RestoreOptions) -> None:
    """Restore the backup; print what was verified, what was replayed, and what is missing or not known."""
    try:
        restored = asyncio.run(restore(config, file, _given(options), shown_progress))
    except RestoreRefused as error:
        fail(
            f"{in_words(error)}\nthingmint: what the backup holds does not agree with itself, and nothing was "
            "restored: take an earlier backup, or accept rows as they are with --accept-findings"
        )
    except _ERRORS as error:
        fail(in_words(error))
    for line in _told(config, restored):
        click.echo(line)


def _given(options: RestoreOptions) -> RestoreInput:
    def archive() -> Iterator[tuple[int, bytes]]:
        return leaves_of_lines(lines_of_archives(options.archives))

    checkpoints = tuple([checkpoint_of(path) for path in options.checkpoints])
    lists = tuple([(path, read_given(path, _MOST_BYTES_OF_LIST)) for path in options.lists])
    passphrase = read_passphrase_source(options.passphrase_file, "--passphrase-file")
    later = LaterFiles(checkpoints, lists, options.log_tail)
    return RestoreInput(later, archive, options.accepts_findings, passphrase)


def _told(config: Config, restored: Restored) -> Iterator[str]:
    head, later, log = restored.head, restored.later, restored.log
    if later is None or log is None:
        yield f"{config.data_dir}: the restore that was cut off is complete"
        return
    yield f"{config.data_dir}: {restored.rows:,} rows of the backup that was begun {head.began_at}"
    yield from (f"accepted: {finding}" for finding in restored.findings)
    signatures = restored.signatures
    yield f"verified: {signatures.right} signatures of certificates, {log.head.size} leaves of the log, every key"
    if signatures.without_issuer:
        yield f"note: of {signatures.without_issuer} certificates, no CA is registered that could have signed them"
    if log.unknown:
        yield f"note: {log.unknown} certificates have no leaf that can be read: their entries were archived"
    for token in restored.tokens:
        yield f"note: the key of an issuer is in a token, which must be there at the start: {token}"
    if head.keys_are_sealed:
        yield "note: the keys are sealed by the backup's passphrase: give it with ca_passphrase_file at each start"
    yield from _replayed(later)
    yield from _missing(head.began_at, later)
    yield from _log(later)


def _replayed(later: LaterFound) -> Iterator[str]:
    made = {outcome: count for outcome, count in sorted(later.replayed.items()) if outcome is not Replayed.UNCHANGED}
    for outcome, count in made.items():
        if outcome not in (Replayed.LOST, Replayed.NOT_BELIEVED):
            yield f"replayed: {count} certificates {outcome.value}"
    if later.deleted_keys:
        yield f"replayed: {later.deleted_keys} access keys deleted"
    if later.not_believed:
        yield (
            f"note: {later.not_believed} later activations were not replayed: no signed checkpoint covers their leaves"
        )
    if later.list_numbers:
        yield f"the next revocation lists have numbers above {max(later.list_numbers)}"


def _missing(began_at: str, later: LaterFound) -> Iterator[str]:
    for each in later.lost:
        yield f"missing: {each}: it was issued or registered after the backup; the device needs a new certificate"
    for each in later.lost_issuers:
        yield f"missing: issuer {each}: it was added after the backup, which does not have its key"
    for each in later.other_changes:
        yield f"missing: {each}"
    for action, count in sorted(later.other_actions.items()):
        yield f"missing: {count} times {action}: leaves do not tell enough to do it again"
    if later.missing:
        held = f"the backup has {later.size}"
        tail = "" if later.tail_end is None else f", the log tail ends with leaf {later.tail_end - 1}"
        yield f"missing: {later.missing} leaves: the newest checkpoint has {later.newest}, {held}{tail}"
    if later.is_same_log:
        yield "nothing is missing: the newest checkpoint that was given is that of the restored log"
    elif later.newest is None or later.newest <= later.size:
        yield (
            f"not known: changes after {began_at}, but for those replayed: revocations and deleted access keys of that "
            "time are undone. Give --crl, --checkpoint or --log-tail if you have them"
        )


def _log(later: LaterFound) -> Iterator[str]:
    if not later.is_same_log:
        yield (
            f"the log goes on as {later.log_name}, with another key, from leaf {later.size} on: leaves after the "
            "backup may have been published under its former name"
        )
