"""Owns the list of commands in a group's help: under headings, each with its whole summary."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import click

# Longer than any first sentence, so that click does not cut it.
_WHOLE = 1000
_OTHERS = "Commands"


class CommandGroup(click.Group):
    """A group whose help shows the whole first sentence of each command's help."""

    headings: ClassVar[Mapping[str, Sequence[str]]] = {}
    """Headings, and the names of the commands below each; commands without a heading come last."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each below its heading."""
        under = {name: heading for heading, names in self.headings.items() for name in names}
        sections: dict[str, list[tuple[str, str]]] = {heading: [] for heading in (*self.headings, _OTHERS)}
        for name in sorted(self.list_commands(ctx), key=self._place):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                sections[under.get(name, _OTHERS)].append((name, command.get_short_help_str(_WHOLE)))
        for heading, lines in sections.items():
            if lines:
                with formatter.section(heading):
                    formatter.write_dl(lines)

    def _place(self, name: str) -> tuple[int, str]:
        """Return the sort key of a command: its place below its heading, or its name."""
        listed = [each for names in self.headings.values() for each in names]
        return (listed.index(name) if name in listed else len(listed), name)
