"""Owns the names and flags of the commands. Other modules do the commands' work."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import click

from thingmint import __version__
from thingmint.cli.accounts.account_commands import access_key, account, test_mode
from thingmint.cli.auditing.audit_commands import audit
from thingmint.cli.backup.commands import backup, restore
from thingmint.cli.exchange_options import export_devices, import_devices
from thingmint.cli.issue_options import IssueCommand, issue_options
from thingmint.cli.issuers.commands import issuer
from thingmint.cli.log.commands import log
from thingmint.cli.settings import ALL_SETTINGS, STORE_SETTINGS, GroupedCommand, config_of, settings_options
from thingmint.cli.simulation.commands import fleet
from thingmint.cli.terminal.command_groups import CommandGroup
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
main.add_command(fleet)
main.add_command(access_key)


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
