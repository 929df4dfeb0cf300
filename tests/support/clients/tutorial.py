"""Runs the blocks of a document as a reader would: commands in one shell, Python as a program, in an empty directory.

In a block ``console``, a line with ``$`` in front begins a command, up to a line without a backslash at its end and, if
it has a heredoc, up to the end of that. What follows up to the next command is what it prints: compared line by line,
where ``…`` stands for any text, and a line of ``…`` alone for any lines. A command that prints ``An error occurred`` is
meant to fail; every other one must succeed. ``thingmint serve`` is started beside the shell, on free ports; started
again, it is stopped before.
A block behind the comment ``<!-- not run: REASON -->`` is left out.
"""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.services.forked import programs
from tests.support.services.service import Service, start_service

DOCS = Path(__file__).parents[3] / "docs"
_BLOCK = re.compile(
    r"(?P<skipped><!-- not run: .+? -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL
)
_HEREDOC = re.compile(r"<<-?'?(?P<end>\w+)'?")
_ENDED = "the command ended with"
_ENDED_WITHIN_SECONDS = 120.0
"""In so much time, also on a slow machine, a command of a page ends."""
_WANTED = ("console", "python")
# Addresses that the page chooses: a test takes ports that are free.
_ADDRESSES = ("--api", "--mqtt")


@dataclass(frozen=True)
class Command:
    """A command and the lines that it is said to print."""

    text: str
    printed: tuple[str, ...] = ()

    @property
    def fails(self) -> bool:
        """Whether the page shows an error of AWS's tools."""
        return any("An error occurred" in line for line in self.printed)


def commands_of(page: str) -> Iterator[Command]:
    """Yield the commands of a page; a block of Python is the command that runs it."""
    for number, block in enumerate(_BLOCK.finditer(page)):
        kind, text = block["kind"], block["text"]
        if block["skipped"] or kind not in _WANTED:
            continue
        if kind == "python":
            name = f"block_{number}.py"
            yield Command(f"cat > {name} <<'END_OF_BLOCK'\n{text}END_OF_BLOCK\npython3 {name}", ("…",))
        else:
            yield from _console(text)


def _console(text: str) -> Iterator[Command]:
    lines = iter(text.splitlines())
    command, printed = "", list[str]()
    for line in lines:
        if not line.startswith("$ "):
            printed.append(line)
            continue
        if command:
            yield Command(command, tuple(printed))
        command, printed = line.removeprefix("$ "), []
        heredoc = _HEREDOC.search(command)
        while command.endswith("\\") or (heredoc and command.splitlines()[-1] != heredoc["end"]):
            command += "\n" + next(lines)
            heredoc = heredoc or _HEREDOC.search(command)
    if command:
        yield Command(command, tuple(printed))


def expected(printed: tuple[str, ...]) -> "re.Pattern[str]":
    """Return the pattern of what a command is said to print."""
    lines = ("(.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + "\n" for line in printed)
    return re.compile("".join(lines))


def _kill_group(shell: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGKILL)


@dataclass
class Reader:
    """Somebody who types what a page says, and the services that were started for that."""

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, str] = field(default_factory=dict)
    """Texts of the page that are others here, such as the address of a database."""
    services: dict[Path, Service] = field(default_factory=dict)

    def follow(self, page: Path) -> None:
        """Type every command of the page; raise AssertionError where one does not do what the page says."""
        text = page.read_text(encoding="utf-8")
        for ours, theirs in self.replaced.items():
            assert ours in text
            text = text.replace(ours, theirs)
        with self._shell() as shell:
            for command in commands_of(text):
                if arguments := self._service_of(command.text):
                    self._serve(*arguments)
                else:
                    self._type(shell, command)

    def serve(self, *arguments: str) -> None:
        """Start the service that a page needs before its first command."""
        self._serve("thingmint", "serve", *arguments)

    def stop(self) -> None:
        """Stop the services."""
        while self.services:
            _, service = self.services.popitem()
            service.terminate()

    @contextlib.contextmanager
    def _shell(self) -> Iterator["subprocess.Popen[str]"]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
        path = os.pathsep.join((str(programs()), str(Path(sys.executable).parent), own.get("PATH", os.defpath)))
        home = {"HOME": str(self.directory), "PATH": path, "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": ""}
        shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            env=own | home | dict(self.environment),
            text=True,
            start_new_session=True,
        )
        try:
            yield shell
        finally:
            # With it end the programs that a page starts in the background.
            _kill_group(shell)
            shell.communicate(timeout=_ENDED_WITHIN_SECONDS)

    def _type(self, shell: "subprocess.Popen[str]", command: Command) -> None:
        typed = self.directory / ".typed"
        typed.write_text(command.text + "\n")
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(f'. {shlex.quote(str(typed))} < /dev/null\necho "{_ENDED} $?"\n')
        shell.stdin.flush()
        output, code = "", ""
        # Without the shell its output ends.
        late = threading.Timer(_ENDED_WITHIN_SECONDS, _kill_group, (shell,))
        late.start()
        for line in shell.stdout:
            before, mark, rest = line.partition(_ENDED)
            output += before
            if mark:
                code = rest.strip()
                break
        late.cancel()
        told = f"{command.text}\n{output}"
        assert (code != "0") is command.fails, f"ended with {code or 'the shell'}: {told}"
        # Commands whose output a page leaves out may print what they like.
        if command.printed:
            ended = output if output.endswith("\n") or not output else output + "\n"
            assert expected(command.printed).fullmatch(ended), f"expected {command.printed}: {told}"

    def _service_of(self, command: str) -> list[str] | None:
        """Return the words of a command that starts a service in the foreground."""
        if "thingmint serve" not in command or command.endswith("&"):
            return None
        return shlex.split(command.replace("\\\n", ""))

    def _serve(self, *words: str) -> None:
        program = words.index("thingmint")
        assert words[program + 1] == "serve"
        variables = dict(word.split("=", 1) for word in words[:program])
        options = list(words[program + 2 :])
        given = dict(zip(options[::2], options[1::2], strict=True))
        data_dir = self.directory / given.pop("--data-dir", "thingmint-data")
        if data_dir in self.services:
            self.services.pop(data_dir).terminate()
        arguments = [word for name, value in given.items() if name not in _ADDRESSES for word in (name, value)]
        self.services[data_dir] = start_service(
            data_dir,
            *arguments,
            environment=dict(self.environment) | variables,
            folder=self.directory,
        )
