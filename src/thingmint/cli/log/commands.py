"""Owns the names and flags of the log's commands. `command` does their work."""

from pathlib import Path

import click

from thingmint.cli.settings import STORE_SETTINGS, config_of, settings_options
from thingmint.cli.terminal.command_groups import CommandGroup

_LOG_SETTINGS = (*STORE_SETTINGS, "log_origin", "server_name")
_FILE = click.Path(path_type=Path, exists=True)


@click.group(cls=CommandGroup)
def log() -> None:
    """Show, prove and verify what the service has done.

    Every change of the registry is a leaf of a tree of hashes, whose checkpoints the service signs.
    """


@log.command("checkpoint")
@settings_options(_LOG_SETTINGS)
@click.option("--key", "only_key", is_flag=True, help="Print the key that verifies checkpoints instead.")
def show_checkpoint(only_key: bool, **flags: object) -> None:
    """Print the signed checkpoint: name, size and root of the log.

    Keep it where operators of the service cannot change it: `log verify --against` compares the log with it.
    """
    from thingmint.cli.log.command import show_checkpoint

    show_checkpoint(config_of(flags), only_key=only_key)


@log.command()
@settings_options(_LOG_SETTINGS)
@click.argument("certificate")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with the leaves in the clear.")
def prove(certificate: str, as_json: bool, **flags: object) -> None:
    """Print proofs that what happened to a certificate is in the log.

    CERTIFICATE is an id or a PEM file. There is a proof for each leaf, in the form c2sp.org/tlog-proof.
    """
    from thingmint.cli.log.command import show_proofs

    show_proofs(config_of(flags), certificate, as_json=as_json)


@log.command()
@settings_options(_LOG_SETTINGS)
@click.option(
    "--against",
    type=_FILE,
    multiple=True,
    help="An earlier checkpoint, backup, export, data directory or copy of its database; can be given more than once.",
)
@click.option(
    "--archive",
    "archives",
    type=_FILE,
    multiple=True,
    help="What `audit prune` has archived, the oldest file first; can be given more than once.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(against: tuple[Path, ...], archives: tuple[Path, ...], as_json: bool, **flags: object) -> None:
    """Verify the log, the audit trail and the certificates in the registry.

    Names each row that was changed, removed or inserted without the service. Exit code 1 if there is one.
    """
    from thingmint.cli.log.command import verify_log

    verify_log(config_of(flags), against, archives, as_json=as_json)


@log.command()
@settings_options(_LOG_SETTINGS)
@click.argument("folder", type=click.Path(path_type=Path))
def export(folder: Path, **flags: object) -> None:
    """Write the log and the certificates into a new FOLDER for an auditor.

    tools/verify_log.py verifies the folder without the service. It contains the audit trail: keep it private.
    """
    from thingmint.cli.log.command import export_log

    export_log(config_of(flags), folder)
