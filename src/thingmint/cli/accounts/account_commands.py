"""Owns the names and flags of the commands for access keys, accounts and the test mode. Others do the work."""

from pathlib import Path
from typing import BinaryIO

import click

from thingmint.cli.settings import STORE_SETTINGS, config_of, settings_options
from thingmint.cli.terminal.command_groups import CommandGroup
from thingmint.cli.terminal.times import Duration


@click.group("access-key", cls=CommandGroup)
def access_key() -> None:
    """Create, list and delete access keys of callers."""


@access_key.command("create")
@settings_options(STORE_SETTINGS)
@click.option(
    "--policy",
    "policy_file",
    type=click.File("rb"),
    required=True,
    help="File with the IAM policy document that binds the key; - reads standard input.",
)
@click.option("--user", "user_name", default=None, help="Name in ARNs and the audit trail.  [default: operator-made]")
@click.option(
    "--expires-in",
    type=click.IntRange(60, 129_600),
    default=None,
    help="Seconds until the credentials expire; makes temporary credentials with a session token.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON in the shape of AWS's credential_process.")
def create_access_key(
    policy_file: BinaryIO, user_name: str | None, expires_in: int | None, as_json: bool, **flags: object
) -> None:
    """Create an access key; its secret is shown only once."""
    from thingmint.cli.accounts.access_key import create

    create(config_of(flags), policy_file, user_name=user_name, expires_in=expires_in, as_json=as_json)


@access_key.command("list")
@settings_options(STORE_SETTINGS)
@click.option("--all-accounts", is_flag=True, help="List the keys of every account; each account has at least one.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_access_keys(all_accounts: bool, as_json: bool, **flags: object) -> None:
    """List the access keys, without their secrets."""
    from thingmint.cli.accounts.access_key import list_all

    list_all(config_of(flags), all_accounts=all_accounts, as_json=as_json)


@access_key.command("delete")
@settings_options(STORE_SETTINGS)
@click.argument("access_key_id")
def delete_access_key(access_key_id: str, **flags: object) -> None:
    """Delete an access key; it cannot be used any more."""
    from thingmint.cli.accounts.access_key import delete

    delete(config_of(flags), access_key_id)


@click.group(cls=CommandGroup)
def account() -> None:
    """Create, list and delete accounts that share the service."""


@account.command("create")
@settings_options(STORE_SETTINGS)
@click.option("--id", "number", default=None, metavar="DIGITS", help="Its number, twelve digits.  [default: random]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON in the shape of AWS's credential_process.")
def create_account(number: str | None, as_json: bool, **flags: object) -> None:
    """Create an account with an administrator's access key, whose secret is shown only once."""
    from thingmint.cli.accounts.account import create

    create(config_of(flags), number, as_json=as_json)


@account.command("list")
@settings_options(STORE_SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_accounts(as_json: bool, **flags: object) -> None:
    """List the accounts that have an access key or anything else."""
    from thingmint.cli.accounts.account import list_all

    list_all(config_of(flags), as_json=as_json)


@account.command("delete")
@settings_options(STORE_SETTINGS)
@click.argument("number", metavar="ACCOUNT")
@click.confirmation_option(
    "--yes", prompt="Delete the account with all its keys, certificates, things and policies?", help="Do not ask."
)
def delete_account(number: str, **flags: object) -> None:
    """Delete an account with all its resources.

    Its access keys are deleted first, and its devices are disconnected. Run the command again after an interruption.
    """
    from thingmint.cli.accounts.account import delete

    delete(config_of(flags), number)


@click.group("test-mode", cls=CommandGroup)
def test_mode() -> None:
    """Control a running service that was started with --test-mode or --ephemeral."""


@test_mode.command("reset")
@settings_options(("data_dir",))
def reset(**flags: object) -> None:
    """Delete all other accounts, empty the service's own except its access keys, and reset the clock."""
    from thingmint.cli.accounts.test_mode import reset_service

    reset_service(config_of({"data_dir": flags["data_dir"]}).data_dir, is_named=flags["data_dir"] is not None)


@test_mode.command("seed")
@settings_options(("data_dir",))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def seed(file: Path, **flags: object) -> None:
    """Carry out the operations in a JSON file and print their outputs."""
    from thingmint.cli.accounts.test_mode import seed_service

    seed_service(config_of({"data_dir": flags["data_dir"]}).data_dir, file, is_named=flags["data_dir"] is not None)


@test_mode.command("clock")
@settings_options(("data_dir",))
@click.option("--advance", type=Duration(), default=None, help="How much later it is to be: 90s, 30m, 2h, 7d.")
@click.option("--set-right", is_flag=True, help="Tell the machine's time again.")
def clock(advance: float | None, set_right: bool, **flags: object) -> None:
    """Move the service's clock if a flag is given, and show its time."""
    from thingmint.cli.accounts.test_mode import move_clock

    data_dir = config_of({"data_dir": flags["data_dir"]}).data_dir
    move_clock(data_dir, advance or 0.0, set_right=set_right, is_named=flags["data_dir"] is not None)
