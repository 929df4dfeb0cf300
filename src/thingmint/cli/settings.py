"""Owns the conversion of settings to command-line flags, by a decorator on the table in `thingmint.settings.table`."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn, TypeVar

import click

from thingmint.cli.terminal.columns import printable_lines
from thingmint.core.error_text import in_words
from thingmint.settings.address_forms import has_password
from thingmint.settings.config import Config, load_config
from thingmint.settings.forms import ConfigError
from thingmint.settings.setting import Places
from thingmint.settings.table import BY_NAME, SETTINGS

F = TypeVar("F", bound=Callable[..., Any])

# Needed by every command that opens the data directory or its database.
STORE_SETTINGS = ("data_dir", "database_url", "database_password_file", "account", "region", "ca_passphrase_file")
ALL_SETTINGS = tuple(setting.name for setting in SETTINGS if Places.FLAG in setting.places)
_GROUP_OF_FLAG = {setting.flag: setting.group for setting in SETTINGS if Places.FLAG in setting.places}


class GroupedCommand(click.Command):
    """A command whose help shows flags under headings; those of settings are their groups."""

    headings: ClassVar[Mapping[str, str]] = {}
    """The headings of flags that are not settings; flags without a heading come first."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command's own options first, then those of each group."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                flag = parameter.opts[0]
                heading = self.headings.get(flag, _GROUP_OF_FLAG.get(flag, "Options"))
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def settings_options(names: tuple[str, ...]) -> Callable[[F], F]:
    """Return a decorator that gives a command the flags of these settings."""

    def decorate(command: F) -> F:
        for name in reversed(names):
            setting = BY_NAME[name]
            shown, is_repeatable = setting.default_text, isinstance(setting.default, tuple)
            meaning = setting.meaning if shown is None else f"{setting.meaning}  [default: {shown}]"
            command = click.option(
                "/".join(setting.flags),
                name,
                help=f"{meaning}  [env: {setting.variable}]",
                multiple=is_repeatable,
                is_flag=setting.is_switch,
                default=() if is_repeatable else None,
                show_default=False,
                metavar=setting.form.metavar or None,
            )(command)
        return command

    return decorate


def config_of(flags: dict[str, object]) -> Config:
    """Return the configuration from flags, environment and file; if it is invalid, end the program with a message."""
    if flags.get("database_url"):
        _warn_of_password(str(flags["database_url"]))
    try:
        return load_config(flags, os.environ)
    except ConfigError as error:
        fail(in_words(error))


def _warn_of_password(database_url: str) -> None:
    if has_password(database_url):
        click.echo(
            "thingmint: warning: process lists show the password in --database-url: put it into a file that "
            "--database-password-file names, or the whole URL into THINGMINT_DATABASE_URL or thingmint.toml",
            err=True,
        )


def fail(message: str, code: int = 1) -> NoReturn:
    """End the program with a message on standard error."""
    click.echo(f"thingmint: {printable_lines(message)}", err=True)
    sys.exit(code)
