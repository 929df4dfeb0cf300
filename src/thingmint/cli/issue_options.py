"""Owns the flags of `thingmint issue`, and the choice between its modes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import click

from thingmint.cli.settings import GroupedCommand
from thingmint.cli.terminal.numbers import OrdinaryFloatRange
from thingmint.settings.config import Config

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
# The keys of `devices.formats.FORMATS` and the types of `issuing.station_keys`, which are slow to import.
_FORMATS = ("pem", "der", "p12", "combined", "c-header")
_KEY_TYPES = ("rsa-2048", "ec-p256", "ec-p384")

_OPTIONS = (
    click.option("--count", type=click.IntRange(1, 999_999), default=None, help="How many identities.  [default: 1]"),
    click.option("--from", "source", type=_FILE, default=None, help="List of devices: CSV, or JSON lines in a .jsonl."),
    click.option("--csr-dir", type=_FOLDER, default=None, help="Folder of signing requests: sensor-17.csr."),
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("thingmint-identities"),
        show_default=True,
        help="Folder for keys, certificates and the manifest.",
    ),
    click.option(
        "--active",
        is_flag=True,
        help="Register the certificates as ACTIVE, so that devices can connect; INACTIVE otherwise.",
    ),
    click.option("--offline", is_flag=True, help="Work on the data directory itself; no service may be running on it."),
    click.option(
        "--patience",
        type=OrdinaryFloatRange(0),
        default=60.0,
        show_default=True,
        help="Seconds to go on trying, from the first call on, while the service does not answer.",
    ),
    click.option(
        "--key-type",
        type=click.Choice(_KEY_TYPES),
        default=None,
        help="Type of the keys made here.  [default: rsa-2048]",
    ),
    click.option("--type", "types", default=None, help="Thing type of rows that name none."),
    click.option("--group", "groups", multiple=True, help="Thing group of rows that name none; repeatable."),
    click.option("--policy", "policies", multiple=True, help="Policy of rows that name none; repeatable."),
    click.option("--template", type=_FILE, default=None, help="Provisioning template; rows give its parameters."),
    click.option("--dry-run", is_flag=True, help="Check the list, and issue nothing."),
    click.option(
        "--for-import",
        is_flag=True,
        help="With --offline: leave type, groups and policies to `thingmint import` into the central registry.",
    ),
    click.option(
        "--format",
        "formats",
        type=click.Choice(_FORMATS),
        multiple=True,
        help="Format of the files; repeatable.  [default: pem]",
    ),
    click.option(
        "--name",
        default="{thing}",
        show_default=True,
        help="Name of a device's files: {thing}, {serial} (of the certificate), {line}, {batch}, {station}.",
    ),
    click.option("--recipient", type=_FILE, default=None, help="Certificate that private keys are encrypted to (CMS)."),
    click.option("--passphrase-file", type=_FILE, default=None, help="Passphrase of --format p12."),
    click.option("--batch", default=None, help="Name of the batch, in both."),
    click.option("--operator", default=None, help="Name of the operator, in both."),
    click.option("--station", default=None, help="Name of the station, in both."),
    click.option("--verify", type=_FOLDER, default=None, help="Check a delivery, and issue nothing."),
    click.option(
        "--recipient-key", type=_FILE, default=None, help="Private key of --recipient, which opens sealed keys."
    ),
    click.option("--issuers", type=_FILE, default=None, help="CA certificates, instead of issuers.pem."),
)
# Flags that are valid only with a list of devices, and their defaults.
_OF_LISTS = {
    "types": None,
    "groups": (),
    "policies": (),
    "template": None,
    "formats": (),
    "name": "{thing}",
    "recipient": None,
    "passphrase_file": None,
    "dry_run": False,
    "for_import": False,
}
_FLAGS = {"types": "--type", "groups": "--group", "policies": "--policy", "formats": "--format"}
_OF_COUNT = ("count", "out", "active", "offline", "patience", "key_type", "batch", "operator", "station")

_HEADINGS = {
    "Devices of a list": ("--type", "--group", "--policy", "--template", "--dry-run", "--for-import"),
    "Files": ("--format", "--name", "--recipient", "--passphrase-file"),
    "Manifest and audit trail": ("--batch", "--operator", "--station"),
    "Check of a delivery": ("--verify", "--recipient-key", "--issuers"),
}


class IssueCommand(GroupedCommand):
    """`thingmint issue`, whose help shows flags by their purpose."""

    headings: ClassVar = {flag: heading for heading, flags in _HEADINGS.items() for flag in flags}


def issue_options(command: F) -> F:
    """Give a command the flags of `thingmint issue`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def run_issue(config: Config, *, is_named: bool, **options: Any) -> None:
    """Run the mode that the flags select; raise click.UsageError if they exclude each other."""
    verify, recipient_key, issuers = (options.pop(name) for name in ("verify", "recipient_key", "issuers"))
    if verify is not None:
        from thingmint.cli.devices.verify_command import verify_delivery

        verify_delivery(verify, options["recipient"], recipient_key, options["passphrase_file"], issuers)
        return
    if recipient_key or issuers:
        raise click.UsageError("--recipient-key and --issuers go with --verify.")
    count = options.pop("count")
    if options["source"] is None and options["csr_dir"] is None:
        _issue_counted(config, is_named=is_named, count=count or 1, **options)
        return
    if count is not None:
        raise click.UsageError("--count and a list exclude each other: the list says how many devices there are.")
    from thingmint.cli.devices.command import issue_devices
    from thingmint.cli.devices.options import DeviceOptions

    issue_devices(config, DeviceOptions(**options), is_named=is_named)


def _issue_counted(config: Config, *, is_named: bool, **options: Any) -> None:
    for name, default in _OF_LISTS.items():
        if options[name] != default:
            flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
            raise click.UsageError(f"{flag} goes with --from or --csr-dir.")
    from thingmint.cli.issuing.command import issue_identities

    issue_identities(config, is_named=is_named, **{name: options[name] for name in _OF_COUNT})
