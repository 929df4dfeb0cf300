"""What people see on a terminal of 80 columns: help, tables, the first start and the end of the service."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.support.machine.terminal import WIDTH, Terminal, on_terminal

from thingmint.cli.commands import main
from thingmint.cli.terminal.command_groups import CommandGroup

PROGRAM = (sys.executable, "-m", "thingmint")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def groups(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Group]]:
    if isinstance(command, click.Group):
        yield path, command
        for name, child in command.commands.items():
            yield from groups(child, (*path, name))


GROUPS = dict(groups(main))


@pytest.mark.parametrize("path", GROUPS, ids=" ".join)
def test_help_of_a_group_shows_each_summary_whole(path: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(main, [*path, "--help"], terminal_width=WIDTH).output
    assert isinstance(GROUPS[path], CommandGroup)
    assert re.search(r"\w\.\.\.", shown) is None
    assert max(map(len, shown.splitlines())) <= WIDTH
    words = " ".join(shown.split())
    for name, command in GROUPS[path].commands.items():
        summary = " ".join((command.help or "").split("\n\n")[0].split()).removesuffix(".")
        assert summary, name
        assert f"{name} {summary.partition('. ')[0]}" in words


def test_every_command_is_below_a_heading() -> None:
    headings = GROUPS[()].headings  # type: ignore[attr-defined]  # a CommandGroup, as the test above says
    listed = [name for names in headings.values() for name in names]
    assert sorted(listed) == sorted(main.commands)


def test_a_shell_completes_commands_and_options() -> None:
    def completed(words: str, number: int) -> str:
        environment = {"_THINGMINT_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(number)}
        return CliRunner().invoke(main, [], env=environment, prog_name="thingmint").output

    assert completed("thingmint iss", 1).split() == ["plain,issue", "plain,issuer"]
    assert "plain,--key-reserve" in completed("thingmint serve --key-r", 2)


def test_a_service_on_a_terminal(tmp_path: Path) -> None:
    with on_terminal(*PROGRAM, "serve", "--api", "127.0.0.1:0", "--key-reserve", "0", directory=tmp_path) as service:
        service.wait_for("Without the AWS CLI:")
        # The first start says nothing but that it is ready and what to type next.
        assert service.lines[0].startswith("Thingmint ")
        _tables_fit(tmp_path)
        service.interrupt()
        assert service.wait() == 0
    end = _COLOURS.sub("", service.lines[-1])
    assert re.fullmatch(r"[0-9-]{10} [0-9:]{8}Z \[info +\] stopped +", end), end


def _tables_fit(directory: Path) -> None:
    for command in (("audit",), ("access-key", "list", "--all-accounts"), ("issuer", "list")):
        with on_terminal(*PROGRAM, *command, directory=directory) as terminal:
            assert terminal.wait() == 0
        assert len(terminal.lines) > 1, command
        assert max(map(len, terminal.lines)) <= WIDTH, terminal.shown
        assert _has_whole(terminal, command), terminal.shown


def _has_whole(terminal: Terminal, command: tuple[str, ...]) -> bool:
    """Return whether what people copy from a table is in one piece."""
    whole = {"audit": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  CreateAccessKey", "access-key": "AKIA[A-Z2-7]{16}"}
    return re.search(whole.get(command[0], "[0-9a-f]{12}  ACTIVE"), terminal.shown) is not None
