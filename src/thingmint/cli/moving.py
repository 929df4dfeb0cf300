"""`thingmint move`: shows an operator the move of a registry to PostgreSQL."""

import asyncio
import sys
import time

import click
from msgspec import Struct, field

from thingmint.cli.settings import fail
from thingmint.cli.terminal.progress import EVERY_SECONDS
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.data_directory.files import DirectoryInUse
from thingmint.service.moving import move_registry
from thingmint.settings.config import Config, StartRefused

_TERMINAL_SECONDS = 0.2


def move_to_postgresql(config: Config) -> None:
    """Move the registry; print each table with its rows and the compared sum, or why nothing was moved."""
    try:
        moved = asyncio.run(move_registry(config, _MoveProgress().show))
    except (StartRefused, DirectoryInUse, ThingmintError, OSError) as error:
        fail(in_words(error))
    for name, each in moved.tables.items():
        click.echo(f"{name:<28} {each.rows:>12,} rows  {each}")
    rows = sum(each.rows for each in moved.tables.values())
    click.echo(
        f"{rows:,} rows are in {moved.place}, and equal those in SQLite. From now on start the service with "
        "database_url, best in thingmint.toml"
    )


class _MoveProgress(Struct):
    """Shows the progress: in one line on a terminal, otherwise in a new line every ten seconds."""

    told_at: float = field(default_factory=time.monotonic)

    def show(self, done: str, table: str, rows: int) -> None:
        """Show the table and the number of its copied or compared rows, at limited intervals."""
        is_terminal, now = sys.stderr.isatty(), time.monotonic()
        if now < self.told_at + (_TERMINAL_SECONDS if is_terminal else EVERY_SECONDS):
            return
        self.told_at = now
        text = f"{table}: {rows:,} rows {done}"
        click.echo(f"\r{text}\x1b[K" if is_terminal else text, err=True, nl=not is_terminal)
