"""Commands, flags, variables and settings that the documents name exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from thingmint.cli.commands import main
from thingmint.settings.table import BY_NAME, SETTINGS

ROOT = Path(__file__).parents[1]
# A decision names what was there when it was made.
PAGES = sorted(path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if path.parent.name != "decisions")
CODE = re.compile(r"```[\w-]*\n(?P<block>.*?)```|`(?P<inline>[^`\n]+)`", re.DOTALL)
VARIABLE = re.compile(r"\b_?THINGMINT_[A-Z0-9_]+\b")
NAME = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+")
# Variables that are no settings: of the tests, of shells, and of hooks in examples.
OTHER_VARIABLES = {
    "THINGMINT_SOAK",
    "THINGMINT_SOAK_MINUTES",
    "THINGMINT_REQUIRE_ALL",
    "_THINGMINT_COMPLETE",
    "THINGMINT_IFMA",
}
# Names of other programs, and of what is put together from two names here.
OTHER_NAMES = {
    "ca_filepath",
    "fish_source",
    "mosquitto_pub",
    "mqtt5_client_builder",
    "mqtt_connection_builder",
    "synchronous_mode",
    "synchronous_standby_names",
    "target_session_attrs",
    "thingmint_build_info",
    "thingmint_device_refusals_total",
    "websockets_with_default_aws_signing",
    "ws_set_options",
    "zsh_source",
}
# Settings of other brokers.
OF_OTHER_PROGRAMS = {"docs/how-to/brokers.md"}


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each command line that begins with thingmint, in blocks and in lines."""
    for found in CODE.finditer(page.read_text(encoding="utf-8")):
        if found["block"] is not None:
            lines = found["block"].replace("\\\n", " ").splitlines()
            texts = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        else:
            texts = [found["inline"]]
        for text in texts:
            for part in re.findall(r"(?:^|[\s(/;&|])thingmint (?=[a-z-])([^;|&)<>`\"]*)", text):
                try:
                    yield shlex.split(part)
                except ValueError:
                    yield part.split()


def wrong_in(words: list[str]) -> str | None:
    """Return what does not exist in a command line."""
    command: click.Command = main
    context = click.Context(main)
    for word in words:
        if word.startswith("-"):
            flag = word.partition("=")[0]
            known = {name for each in command.get_params(context) for name in (*each.opts, *each.secondary_opts)}
            if flag not in known and flag not in ("--help", "-h", "--version"):
                return f"{command.name} has no {flag}"
        elif isinstance(command, click.Group) and word[:1].islower():
            child = command.commands.get(word)
            if child is None:
                # An argument of a group that does something itself, or prose in a line of code.
                return None if command.invoke_without_command else f"{command.name} has no {word}"
            command = child
    return None


def test_every_command_and_flag_exists() -> None:
    found = [(shown(page), words) for page in PAGES for words in commands(page)]
    assert len(found) > 150
    assert [(page, words, wrong) for page, words in found if (wrong := wrong_in(words))] == []


def test_every_variable_is_one_that_is_read() -> None:
    known = {each.variable for each in SETTINGS} | {each.file_variable for each in SETTINGS} | OTHER_VARIABLES
    named = {(shown(page), name) for page in PAGES for name in VARIABLE.findall(page.read_text(encoding="utf-8"))}
    assert len(named) > 50
    assert sorted(each for each in named if each[1] not in known and not each[1].endswith("_")) == []


def test_every_name_with_underscores_is_a_setting_or_in_the_source() -> None:
    """A setting that was renamed must not live on in a page."""
    roots = [ROOT / name for name in ("src", "tools", "packages", "examples", "deploy")]
    files = [
        path
        for root in roots
        for path in root.rglob("*")
        if path.suffix in {".py", ".sql", ".c", ".yaml", ".yml", ".cfg", ".tf", ".toml", ".html"}
        and "node_modules" not in path.parts
    ]
    words = (
        set(BY_NAME)
        | {path.stem for path in files}
        | {name for path in files for name in NAME.findall(path.read_text(encoding="utf-8"))}
    )
    unknown = {
        (shown(page), name)
        for page in PAGES
        for found in CODE.finditer(page.read_text(encoding="utf-8"))
        if found["inline"] and shown(page) not in OF_OTHER_PROGRAMS
        for name in NAME.findall(found["inline"])
        if name not in words | OTHER_NAMES
        and not name.startswith(("test_", "pg_"))
        and f"{name}_…" not in found["inline"]
    }
    assert unknown == set()
