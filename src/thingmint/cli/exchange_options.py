"""Owns the names and flags of `thingmint import` and `thingmint export`. `exchange` does the work."""

from pathlib import Path
from typing import Any

import click

from thingmint.cli.settings import config_of, settings_options
from thingmint.cli.terminal.command_groups import CommandGroup


@click.command("import")
@settings_options(("data_dir",))
@click.argument("source", nargs=-1, required=True, metavar="[aws] DIR")
@click.option(
    "--register-ca", "trusted", multiple=True, metavar="SHA256", help="Station's CA that may be registered; repeatable."
)
def import_devices(source: tuple[str, ...], trusted: tuple[str, ...], **flags: object) -> None:
    """Import devices into the running service.

    DIR is a delivery of an offline station or, after the word aws, an inventory of AWS IoT.

    Run the same command again after an interruption. `thingmint export inventory-script` prints the script that writes
    an inventory.
    """
    from thingmint.cli.exchange.command import import_aws, import_station

    is_aws = len(source) == 2 and source[0] == "aws"
    if len(source) != 1 and not is_aws:
        raise click.UsageError("Give a directory, or aws and a directory.")
    folder = Path(source[-1])
    if not folder.is_dir():
        raise click.UsageError(f"{folder} is not a directory.")
    data_dir, is_named = config_of(flags).data_dir, flags["data_dir"] is not None
    if is_aws:
        import_aws(data_dir, folder, is_named=is_named)
    else:
        import_station(data_dir, folder, trusted, is_named=is_named)


@click.group("export", cls=CommandGroup)
def export_devices() -> None:
    """Export the devices for other registries."""


@export_devices.command("aws")
@settings_options(("data_dir",))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("thingmint-export"),
    show_default=True,
    help="Folder for the files and the script register.sh.",
)
@click.option("--registration-code", default=None, help="AWS's; the CA is then registered with a verification.")
@click.option("--aws-account", "account", default=None, help="Account that ARNs in policies are to name.")
@click.option("--aws-region", "region", default=None, help="Region that ARNs in policies are to name.")
@click.option(
    "--issuers",
    "issuers_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=None,
    help="CA certificates in PEM.  [default: device-ca.pem of the data directory]",
)
def export_to_aws(out: Path, **options: Any) -> None:
    """Write files and a script of AWS's CLI that registers the devices of the running service in AWS IoT."""
    from thingmint.cli.exchange.command import export_aws

    named = options.pop("data_dir")
    export_aws(config_of({"data_dir": named}).data_dir, out, is_named=named is not None, **options)


@export_devices.command("inventory-script")
def print_inventory_script() -> None:
    """Print the script that writes an inventory of AWS IoT, for `thingmint import aws`."""
    from thingmint.cli.exchange.inventory import SCRIPT

    click.echo(SCRIPT, nl=False)
