"""Owns the names and flags of `thingmint issuer …`. Other modules do the commands' work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from thingmint.cli.settings import STORE_SETTINGS, config_of, settings_options
from thingmint.cli.terminal.command_groups import CommandGroup
from thingmint.settings.table import CA_KEY_TYPES

F = TypeVar("F", bound=Callable[..., Any])
_SETTINGS = (*STORE_SETTINGS, "at_issuer_end", "public_url", "pkcs11_module", "pkcs11_pin_file")
_FILE = click.Path(path_type=Path, dir_okay=False)


def _of_new_issuers(command: F) -> F:
    for option in (
        click.option("--key-type", type=click.Choice(CA_KEY_TYPES), default="ecdsa-p256", show_default=True),
        click.option("--pkcs11", "token", metavar="URI", help="Make the key in this token, like pkcs11:token=devices."),
        click.option("--subject", metavar="NAME", help="Subject like 'CN=Devices 2,O=Example'."),
        click.option("--profile", type=_FILE, help="TOML file with a certificate profile.  [default: \\[profile]]"),
    ):
        command = option(command)
    return command


@click.group(cls=CommandGroup)
def issuer() -> None:
    """Show the certificate authorities; create, certify, rotate and retire issuers of device certificates."""


@issuer.command("list")
@settings_options(STORE_SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_issuers(as_json: bool, **flags: object) -> None:
    """List the issuers of device certificates."""
    from thingmint.cli.issuers.shown import show_list

    show_list(config_of(flags), as_json=as_json)


@issuer.command("show")
@settings_options(STORE_SETTINGS)
@click.argument("issuer_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_issuer(issuer_id: str | None, as_json: bool, **flags: object) -> None:
    """Show one issuer with its certificates; without ISSUER_ID every authority and the server certificate."""
    from thingmint.cli.issuers.shown import show, show_one

    if issuer_id is None:
        show(config_of(flags), as_json=as_json)
    else:
        show_one(config_of(flags), issuer_id, as_json=as_json)


@issuer.command()
@settings_options(_SETTINGS)
@_of_new_issuers
@click.option("--days", type=click.IntRange(1, 36_525), help="Days until the issuer ends.  [default: with the root]")
def create(days: int | None, **options: Any) -> None:
    """Create an issuer that the service's own root certifies; it is READY, and issues after its activation."""
    from thingmint.cli.issuers.changes import create_issuer

    wanted = {name: options.pop(name) for name in ("key_type", "token", "subject", "profile")}
    create_issuer(config_of(options), days=days, **wanted)


@issuer.command()
@settings_options(_SETTINGS)
@_of_new_issuers
@click.option("--days", type=click.IntRange(1, 36_525), help="Days until the issuer ends.  [default: with the root]")
def rotate(days: int | None, **options: Any) -> None:
    """Create an issuer and activate it; the one before it retires."""
    from thingmint.cli.issuers.changes import rotate_issuer

    wanted = {name: options.pop(name) for name in ("key_type", "token", "subject", "profile")}
    rotate_issuer(config_of(options), days=days, **wanted)


@issuer.command()
@settings_options(_SETTINGS)
@_of_new_issuers
@click.option("--out", type=_FILE, required=True, help="File for the request; - writes it to standard output.")
@click.argument("issuer_id", required=False)
def csr(issuer_id: str | None, out: Path, **options: Any) -> None:
    """Create an issuer that another authority certifies, and write the request; with ISSUER_ID, write it again."""
    from thingmint.cli.issuers.changes import request_certificate

    wanted = {name: options.pop(name) for name in ("key_type", "token", "subject", "profile")}
    request_certificate(config_of(options), issuer_id, out, **wanted)


@issuer.command("import")
@settings_options(_SETTINGS)
@click.argument("issuer_id")
@click.argument("file", type=_FILE)
def import_issuer(issuer_id: str, file: Path, **flags: object) -> None:
    """Give an issuer its certificate: FILE is PEM and holds those above it, too, up to the root."""
    from thingmint.cli.issuers.changes import import_certificate

    import_certificate(config_of(flags), issuer_id, file)


@issuer.command()
@settings_options(_SETTINGS)
@click.argument("issuer_id")
def activate(issuer_id: str, **flags: object) -> None:
    """Make a READY issuer the active one; the one before it retires."""
    from thingmint.cli.issuers.changes import activate_issuer

    activate_issuer(config_of(flags), issuer_id)


@issuer.command()
@settings_options(_SETTINGS)
@click.argument("issuer_id")
@click.option("--destroy-key", is_flag=True, help="Destroy its key; refused until its last certificate has expired.")
def retire(issuer_id: str, destroy_key: bool, **flags: object) -> None:
    """Retire an issuer that is READY, delete one that is PENDING, destroy the key of one that is RETIRED."""
    from thingmint.cli.issuers.changes import retire_issuer

    retire_issuer(config_of(flags), issuer_id, destroy_key=destroy_key)


@issuer.command("sign-with-root")
@click.option("--root-key", type=_FILE, required=True, help="Private key of the root, PEM or PKCS#12.")
@click.option("--root", type=_FILE, required=True, help="Certificate of the root, PEM.")
@click.option("--csr", "request", type=_FILE, required=True, help="Request that `thingmint issuer csr` has written.")
@click.option("--out", type=_FILE, required=True, help="File for the new certificate and the root's.")
@click.option("--days", type=click.IntRange(1, 36_525), help="Days until the issuer ends.  [default: with the root]")
@click.option("--passphrase-file", type=_FILE, help="File with the passphrase of the root's key.")
@click.option("--crl-url", metavar="URL", help="Address of the root's revocation list, put into the certificate.")
@click.option("--issuer-url", metavar="URL", help="Address of the root's certificate, put into the certificate.")
@click.option("--ocsp-url", metavar="URL", help="Address of an OCSP responder of the root, put into the certificate.")
def sign_with_root(
    root_key: Path,
    root: Path,
    request: Path,
    out: Path,
    days: int | None,
    passphrase_file: Path | None,
    crl_url: str | None,
    issuer_url: str | None,
    ocsp_url: str | None,
) -> None:
    """Certify an issuer with a root whose key is here; needs no service and no data directory.

    Addresses are those of the root, not of the service. Extensions of the request are not copied.
    """
    from thingmint.cli.issuers.offline_root import RootFiles, sign
    from thingmint.issuance.profiles.public_addresses import PublicAddresses

    addresses = PublicAddresses(crl_url, issuer_url, ocsp_url)
    sign(RootFiles(root_key, root, passphrase_file, addresses), request, out, days)
