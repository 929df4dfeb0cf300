"""Owns the names and flags of `thingmint audit` and `thingmint audit prune`."""

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from thingmint.cli.settings import STORE_SETTINGS, config_of, settings_options
from thingmint.cli.terminal.command_groups import CommandGroup
from thingmint.cli.terminal.times import Moment


@click.group(cls=CommandGroup, invoke_without_command=True)
@settings_options(STORE_SETTINGS)
@click.option("--since", type=Moment(), default=None, help="Entries from then on: 30m, 2h, 7d ago, or ISO 8601.")
@click.option("--until", type=Moment(), default=None, help="Entries before then.")
@click.option("--principal", default=None, metavar="TEXT", help="Entries whose caller's ARN holds the text.")
@click.option("--resource", default=None, metavar="TEXT", help="Entries whose resource holds the text.")
@click.option("--action", default=None, metavar="NAME", help="Entries of the action, such as UpdateCertificate.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True, help="How many entries.")
@click.option("--follow", is_flag=True, help="Go on and show what is written, oldest first, until Ctrl-C.")
@click.option("--json", "form", flag_value="json", default=None, help="Print JSON, one line for each entry.")
@click.option("--csv", "form", flag_value="csv", help="Print CSV (RFC 4180), with a line of names first.")
@click.pass_context
def audit(context: click.Context, /, limit: int, follow: bool, form: str | None, **options: Any) -> None:
    """Show who changed what in the registry, newest first.

    Principal, resource and action may hold the wildcards * and ?, and are then compared as a whole; so is a text that
    begins with arn:. The account is that of --account.
    """
    if context.invoked_subcommand is not None:
        return
    from thingmint.cli.auditing.audit import show
    from thingmint.registration.kernel.audit_filter import AuditFilter

    asked = {name: options.pop(name) for name in ("since", "until", "principal", "resource", "action")}
    show(config_of(options), AuditFilter(**asked), limit=limit, form=form or "table", follow=follow)


@audit.command()
@settings_options((*STORE_SETTINGS, "log_origin", "server_name"))
@click.option("--before", type=Moment(), required=True, help="Entries before then: 365d ago, or ISO 8601.")
@click.option(
    "--archive", type=click.Path(path_type=Path, dir_okay=False), required=True, help="New file for the entries."
)
def prune(before: datetime, archive: Path, **flags: object) -> None:
    """Archive old entries of all accounts in a file, then remove them.

    The hashes of their leaves stay, so that the log can be verified as before; `log verify --archive` takes the file.
    """
    from thingmint.cli.auditing.pruning import prune_audit_trail

    prune_audit_trail(config_of(flags), before, archive)
