"""`thingmint backup`: shows an operator the progress and result of making or checking a backup."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import click

from thingmint.cli.settings import fail
from thingmint.cli.terminal.progress import shown_progress
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.core.transparency.growing_tree import TreeDamaged
from thingmint.data_directory.certificate_files import AuthorityUnusable
from thingmint.data_directory.files import DirectoryInUse
from thingmint.service.backup.container import BackupDamaged
from thingmint.service.backup.making import KeySealing, leftovers, make_backup
from thingmint.service.backup.reading import BackupReader, check_backup
from thingmint.service.start.passphrases import read_passphrase_source
from thingmint.settings.config import Config, StartRefused

_TOLD_EVERY = 10_000


def back_up(config: Config, file: Path, passphrase_file: Path | None, *, unsealed_keys: bool) -> None:
    """Write the backup; print its contents, and the files that interrupted backups have left."""
    before = leftovers(file)
    try:
        passphrase = read_passphrase_source(passphrase_file, "--passphrase-file")
        made = asyncio.run(make_backup(config, file, KeySealing(passphrase, unsealed_keys), _progress()))
    except (StartRefused, DirectoryInUse, AuthorityUnusable, ThingmintError, TreeDamaged, OSError) as error:
        fail(in_words(error))
    for path in before:
        if path.exists():
            click.echo(f"thingmint: {path} is of a backup that was cut off, unless it is running: remove it", err=True)
    if not made.head.keys_are_sealed:
        click.echo(f"thingmint: warning: {file} holds the keys in the clear: its readers can issue", err=True)
    if not made.is_recorded:
        click.echo(f"thingmint: warning: {file} is whole, but its time could not be written to the database", err=True)
    size = made.head.signed_checkpoint().head.size
    click.echo(
        f"{file}: {made.size:,} bytes, {made.manifest.rows:,} rows, {size:,} leaves of the log, "
        f"all that was acknowledged before {made.head.began_at}"
    )


def verify_backup(file: Path, passphrase_file: Path | None) -> None:
    """Check every byte of the file; end with exit code 1 if it is damaged."""
    try:
        passphrase = read_passphrase_source(passphrase_file, "--passphrase-file")
        with shown_progress("bytes checked", file.stat().st_size) as progress:
            reader = check_backup(file, progress)
        is_opened = _open_keys(reader, passphrase)
    except (StartRefused, BackupDamaged, AuthorityUnusable, ThingmintError, OSError) as error:
        fail(in_words(error) if isinstance(error, OSError) else f"{file}: {in_words(error)}")
    head, size = reader.head, reader.head.signed_checkpoint().head.size
    click.echo(
        f"{file}: whole, begun {head.began_at} by Thingmint {head.thingmint} on {head.engine}, "
        f"{reader.manifest.rows:,} rows, {size:,} leaves of the log {head.key.origin}"
    )
    if is_opened:
        click.echo("its keys open, and it was made with them")
    else:
        click.echo("its keys were not opened: give --passphrase-file to check them, too")


def _open_keys(reader: BackupReader, passphrase: bytes | None) -> bool:
    if passphrase is None and reader.head.keys_are_sealed:
        return False
    reader.require_keys_open(passphrase)
    reader.require_sealed_by(reader.sealer(passphrase))
    return True


def _progress() -> Callable[[str, int], None]:
    if not sys.stderr.isatty():
        return lambda _table, _rows: None

    def show(table: str, rows: int) -> None:
        if rows % _TOLD_EVERY == 0:
            click.echo(f"\r{table}: {rows:,} rows\x1b[K", err=True, nl=False)

    return show
