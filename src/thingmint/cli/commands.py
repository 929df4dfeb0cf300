"""Owns the names and flags of the commands. Other modules do the commands' work."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import click

from thingmint import __version__
from thingmint.cli.accounts.account_commands import account, test_mode
from thingmint.cli.auditing.audit_commands import audit
from thingmint.cli.backup.commands import backup, restore
from thingmint.cli.exchange_options import export_devices, import_devices
from thingmint.cli.issue_options import IssueCommand, issue_options
from thingmint.cli.issuers.commands import issuer
from thingmint.cli.log.commands import log
from thingmint.cli.settings import ALL_SETTINGS, STORE_SETTINGS, GroupedCommand, config_of, settings_options
from thingmint.cli.terminal.command_groups import CommandGroup
from thingmint.cli.terminal.numbers import OrdinaryFloatRange
from thingmint.core.certificates.revocation import GIVEN_BY_OPERATOR

# 128 plus the number of SIGINT.
_INTERRUPTED = 130


class _Commands(CommandGroup):
    """Ends an interrupted command with the exit code that shells expect, also while the command is still starting."""

    group_class = CommandGroup
    headings: ClassVar[Mapping[str, Sequence[str]]] = {
        "Service": ("serve", "env", "doctor", "settings", "seal", "node", "backup", "restore", "move"),
        "Devices": ("issue", "certificate", "import", "export", "fleet"),
        "Authorities": ("issuer",),
        "Callers": ("access-key", "account"),
        "History": ("audit", "log"),
        "Tests": ("test-mode",),
    }

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; exit with 130 after Ctrl-C."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(_INTERRUPTED)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="thingmint", message="%(prog)s %(version)s")
def main() -> None:
    """A device certificate authority that speaks AWS IoT's API."""


main.add_command(account)
main.add_command(test_mode)


@main.command(cls=GroupedCommand)
@settings_options(ALL_SETTINGS)
@click.option(
    "--ephemeral", is_flag=True, help="For tests: free ports, test mode, a directory that is removed at the end."
)
@click.option("--stop-with-stdin", is_flag=True, help="Stop when standard input ends, as it does with its program.")
def serve(ephemeral: bool, stop_with_stdin: bool, **flags: object) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Missing files in the data directory are created first. With --ephemeral, prints shell lines that point AWS's tools
    at the service.
    """
    from thingmint.cli.ephemeral import temporary_flags
    from thingmint.cli.serve import serve_until_stopped

    if not ephemeral:
        serve_until_stopped(config_of(flags), stop_with_stdin=stop_with_stdin)
        return
    with temporary_flags(flags) as own:
        serve_until_stopped(config_of(own), stop_with_stdin=stop_with_stdin, prints_variables=True)


@main.command(cls=GroupedCommand)
@settings_options(ALL_SETTINGS)
@click.option("--given", "only_given", is_flag=True, help="Leave out settings that have their default.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def settings(only_given: bool, as_json: bool, **flags: object) -> None:
    """Show the settings in force and where each comes from.

    These are the settings that `serve` uses if it is given the same flags.
    """
    from thingmint.cli.shown_settings import show_settings

    show_settings(config_of(flags), os.environ, as_json=as_json, only_given=only_given)


@main.command()
@settings_options(("data_dir",))
def env(**flags: object) -> None:
    """Print the variables that point AWS's tools at the service.

    In a shell: eval "$(thingmint env)"
    """
    from thingmint.cli.env import print_environment

    print_environment(config_of(flags).data_dir)


@main.command(cls=IssueCommand)
@issue_options
@settings_options(STORE_SETTINGS)
def issue(**options: Any) -> None:
    """Issue identities in bulk, each exactly once.

    Run the same command again to resume after an interruption.

    With --count, certificates without things. With --from or --csr-dir, devices of a list, each with key, certificate,
    thing, policies and groups in one step. With --verify, issues nothing and checks a delivery.
    """
    from thingmint.cli.issue_options import run_issue

    settings = {name: options.pop(name) for name in STORE_SETTINGS}
    run_issue(config_of(settings), is_named=settings["data_dir"] is not None, **options)


main.add_command(import_devices)
main.add_command(export_devices)


@main.group()
def fleet() -> None:
    """Measure what load an installation can carry."""


@fleet.command()
@settings_options(("data_dir",))
@click.option("--devices", type=click.IntRange(1, 50_000), required=True, help="How many devices.")
@click.option(
    "--concurrency", type=click.IntRange(1, 200), default=8, show_default=True, help="Devices that are busy at a time."
)
@click.option(
    "--keys/--csr",
    default=True,
    show_default=True,
    help="The service makes each device's RSA key, or the device makes a P-256 key.",
)
@click.option("--duration", type=OrdinaryFloatRange(0), default=0.0, help="Seconds that all devices stay connected.")
@click.option(
    "--publish",
    type=OrdinaryFloatRange(0, 1000),
    default=0.0,
    help="Messages that each device sends a second in this time.",
)
@click.option("--reconnect", is_flag=True, help="At the end, each device disconnects and connects again.")
@click.option(
    "--renew",
    type=click.Choice(["now", "rotated"]),
    default=None,
    help="Each device renews its certificate by EST and connects with it: now, or when another issuer is active.",
)
@click.option(
    "--est", default=None, metavar="URL", help="Address of EST.  [default: that of the service in the data directory]"
)
@click.option(
    "--storm",
    type=click.Choice(["reconnect", "fan-out", "fan-in", "wills", "policy-change"]),
    default=None,
    help="What all devices do at the same time when they are connected; another client measures its effect.",
)
@click.option("--template", default=None, help="Provisioning template to use.  [default: one is made]")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Parameter of the template.")
@click.option(
    "--topic", default="{thing}/simulated", show_default=True, help="Topic to which devices publish and subscribe."
)
@click.option(
    "--claim-certificate", type=click.File("rb"), default=None, help="Claim certificate to use.  [default: one is made]"
)
@click.option("--claim-key", type=click.File("rb"), default=None, help="Its private key.")
@click.option(
    "--endpoint", default=None, metavar="URL", help="Address of the API; the variables AWS_… have the access key."
)
@click.option(
    "--mqtt", default=None, metavar="HOST:PORT", help="Address of the device port.  [default: the API's answer]"
)
@click.option(
    "--ca", "ca_file", default=None, metavar="FILE", help="CA file that verifies the device port's certificate."
)
@click.option("--allow-remote", is_flag=True, help="Allow a service on another machine.")
@click.option("--clean-up", is_flag=True, help="Remove the devices at the end, and all that was made for them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def simulate(**options: Any) -> None:
    """Provision real devices on a running service, and show how long each step took.

    Exit code 1 if any device failed. Values of parameters and the topic may hold {device}, the topic also {thing}.
    """
    from thingmint.cli.simulation.command import Options, simulate_fleet

    named = options.pop("data_dir")
    data_dir = config_of({"data_dir": named}).data_dir
    simulate_fleet(data_dir, Options(**options), is_named=named is not None)


@main.group("access-key")
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


@main.group()
def certificate() -> None:
    """Revoke certificates with a reason."""


@certificate.command("revoke")
@settings_options(STORE_SETTINGS)
@click.argument("certificate_id")
@click.option(
    "--reason",
    type=click.Choice([reason.word for reason in GIVEN_BY_OPERATOR]),
    required=True,
    help="What revocation lists and OCSP say; UpdateCertificate leaves it unspecified.",
)
def revoke_certificate(certificate_id: str, reason: str, **flags: object) -> None:
    """Revoke a certificate permanently, with a reason.

    If the certificate is already revoked, records the reason. A running service applies the change within a second.
    """
    from thingmint.cli.certificate import revoke_for_reason

    revoke_for_reason(config_of(flags), certificate_id, reason)


@main.group()
def node() -> None:
    """Show the nodes that serve one database, and change what they share."""


@node.command("list")
@settings_options(ALL_SETTINGS)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one line for each node.")
def list_nodes(as_json: bool, **flags: object) -> None:
    """List the nodes, when each was seen last, and its settings that differ from these."""
    from thingmint.cli.node import list_nodes as show

    show(config_of(flags), as_json=as_json)


@node.command("remove-root-key")
@settings_options(("data_dir", "database_url", "database_password_file"))
def remove_root_key(**flags: object) -> None:
    """Remove the root's private key from the database, so that nodes that join do not get it.

    Keep a copy of keys/root-ca.key in a safe place: new authorities need it. Delete it on each node afterwards.
    """
    from thingmint.cli.node import remove_root_key as remove

    remove(config_of(flags))


@main.command()
@settings_options(STORE_SETTINGS)
def doctor(**flags: object) -> None:
    """Check the data directory and the machine.

    Exit code 1 if something is wrong, otherwise 0, also with warnings.
    """
    from thingmint.cli.doctor import examine

    examine(config_of(flags))


main.add_command(audit)
main.add_command(log)


@main.command()
@settings_options(("data_dir", "ca_passphrase_file", "database_url", "database_password_file"))
@click.option(
    "--new-passphrase-file",
    type=click.Path(path_type=Path),
    help="File with the passphrase that seals the keys from now on; fd:N is an inherited descriptor.",
)
@click.option("--remove", is_flag=True, help="Store the keys without a passphrase from now on.")
def seal(new_passphrase_file: Path | None, remove: bool, **flags: object) -> None:
    """Add, change or remove the passphrase of the keys in a data directory, and of their copies in its database.

    ca_passphrase_file is the present one. Nodes that join need the passphrase of the copies.
    """
    from thingmint.cli.seal import seal_keys

    seal_keys(config_of(flags), new_passphrase_file, remove=remove)


main.add_command(issuer)
main.add_command(backup)
main.add_command(restore)


@main.command()
@settings_options(("data_dir", "database_url", "database_password_file"))
def move(**flags: object) -> None:
    """Move the registry of a stopped service from SQLite to the empty PostgreSQL database of database_url.

    Every table is copied and compared. The SQLite database is not changed, and a service does not start on it again. To
    finish an interrupted move, run the same command again.
    """
    from thingmint.cli.moving import move_to_postgresql

    move_to_postgresql(config_of(flags))
