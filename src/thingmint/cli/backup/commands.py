"""Owns the names and flags of `backup` and `restore`. Other modules do the commands' work."""

from pathlib import Path

import click

from thingmint.cli.settings import STORE_SETTINGS, config_of, settings_options

_FILE = click.Path(path_type=Path, exists=True)


@click.command()
@settings_options((*STORE_SETTINGS, "log_origin", "server_name"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help="File with the passphrase that seals the keys in the backup; fd:N is an inherited descriptor.  "
    "[default: that of the data directory]",
)
@click.option("--unsealed-keys", is_flag=True, help="Write keys in the clear that no passphrase seals.")
@click.option("--verify", is_flag=True, help="Check an existing FILE instead; with a passphrase also its keys.")
def backup(file: Path, passphrase_file: Path | None, unsealed_keys: bool, verify: bool, **flags: object) -> None:
    """Write a backup of the whole service to FILE while it runs.

    It contains the database, the certificates, the sealed keys and the log's checkpoint, with every change that was
    acknowledged before the command began. An earlier FILE is replaced when the new one is durable.
    """
    from thingmint.cli.backup.backing_up import back_up, verify_backup

    if verify:
        verify_backup(file, passphrase_file)
        return
    back_up(config_of(flags), file, passphrase_file, unsealed_keys=unsealed_keys)


@click.command()
@settings_options(STORE_SETTINGS)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    help="File with the passphrase of the keys in the backup; fd:N is an inherited descriptor.  "
    "[default: that of the data directory]",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    type=_FILE,
    multiple=True,
    help="The newest checkpoint of the log that anybody holds; can be given more than once.",
)
@click.option(
    "--crl",
    "lists",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="A revocation list from after the backup; can be given more than once.",
)
@click.option(
    "--log-tail", type=_FILE, help="Pages of the log (a folder with tile/entries), an export, or exported entries."
)
@click.option(
    "--archive",
    "archives",
    type=_FILE,
    multiple=True,
    help="What `audit prune` has archived, the oldest file first; can be given more than once.",
)
@click.option(
    "--accept-findings",
    is_flag=True,
    help="Restore rows as they are that do not agree with their signatures or the log, and list them.",
)
def restore(
    file: Path,
    passphrase_file: Path | None,
    checkpoints: tuple[Path, ...],
    lists: tuple[Path, ...],
    log_tail: Path | None,
    archives: tuple[Path, ...],
    accept_findings: bool,
    **flags: object,
) -> None:
    """Restore a backup into an empty data directory and an empty database.

    No service starts on them before every signature, the log and every key were verified. Certificates that were
    revoked after the backup are revoked again if a revocation list or a log tail has them. The restored keys are sealed
    by the passphrase of the backup.
    """
    from thingmint.cli.backup.restoring import RestoreOptions, restore_service

    options = RestoreOptions(passphrase_file, checkpoints, lists, log_tail, archives, accept_findings)
    restore_service(config_of(flags), file, options)
