"""Standard streams that are closed, or whose other end is full: commands say so, and the service serves."""

import json
import os
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.support.services.service import running_service, thingmint

from thingmint.cli.commands import main as commands

EVERYTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:*","Resource":"*"}]}'


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a service that has stopped."""
    data_dir = tmp_path_factory.mktemp("streams") / "data"
    with running_service(data_dir):
        pass
    (data_dir.parent / "policy.json").write_text(EVERYTHING)
    return data_dir


def closed(command: list[str], *descriptors: int) -> list[str]:
    """Return a command that runs another one with closed standard streams."""
    return ["sh", "-c", 'exec "$@" ' + " ".join(f"{number}>&-" for number in descriptors), "sh", *command]


def listed(data_dir: Path) -> list[str]:
    return [
        key["AccessKeyId"]
        for key in json.loads(own("access-key", "list", "--all-accounts", "--json", data_dir=data_dir))
    ]


def own(*arguments: str, data_dir: Path) -> str:
    """Run a command in this process, which is faster, and return its output."""
    result = CliRunner().invoke(commands, [*arguments, "--data-dir", str(data_dir)])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("command", [("settings",), ("audit",)])
def test_a_command_says_that_its_output_is_lost(data_dir: Path, command: tuple[str, ...]) -> None:
    asked = thingmint(*command, "--data-dir", str(data_dir))
    with open("/dev/full", "wb") as full:  # noqa: PTH123  a device
        results = [
            subprocess.run(asked, stdout=full, stderr=subprocess.PIPE, text=True, check=False),
            subprocess.run(closed(asked, 1), stderr=subprocess.PIPE, text=True, check=False),
        ]
    for result, reason in zip(results, ("No space left on device", "Bad file descriptor"), strict=True):
        assert (result.returncode, result.stderr.splitlines()[-1]) == (
            1,
            f"thingmint: standard output cannot be written: {reason}",
        )
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("command", "form"), [("access-key", ()), ("account", ("--json",))])
def test_a_secret_that_nobody_has_seen_is_named_with_the_key_to_delete(
    data_dir: Path, command: str, form: tuple[str, ...]
) -> None:
    policy = ("--policy", str(data_dir.parent / "policy.json")) if command == "access-key" else ()
    asked = thingmint(command, "create", *policy, *form, "--data-dir", str(data_dir))
    reader, writer = os.pipe()
    os.close(reader)
    # Nobody reads the output of the first, and the second has none.
    unread = subprocess.run(asked, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    result = subprocess.run(closed(asked, 1), stderr=subprocess.PIPE, text=True, check=False)

    assert unread.returncode == result.returncode == 1
    assert "nobody has its secret" in unread.stderr
    advice = result.stderr.partition("delete it with `thingmint ")[2].partition("`")[0].split()
    assert advice[2] in listed(data_dir)
    own(*advice, data_dir=data_dir)
    assert advice[2] not in listed(data_dir)


@contextmanager
def serving(command: list[str], endpoints: Path) -> Iterator[str]:
    """Yield the address of a service's API; assert that it still runs at the end."""
    with subprocess.Popen(command) as process:
        try:
            while not endpoints.exists():
                assert process.poll() is None
                time.sleep(0.05)
            yield json.loads(endpoints.read_text())["api"]
            assert process.poll() is None
        finally:
            process.terminate()


@pytest.mark.parametrize("descriptors", [(1,), (0, 1, 2)])
def test_a_service_serves_with_closed_streams(data_dir: Path, descriptors: tuple[int, ...]) -> None:
    (data_dir / "endpoints.json").unlink(missing_ok=True)
    addresses = ("--api", "127.0.0.1:0", "--mqtt", "127.0.0.1:0")
    asked = thingmint("serve", "--data-dir", str(data_dir), *addresses)
    with serving(closed(asked, *descriptors), data_dir / "endpoints.json") as api:
        context = ssl.create_default_context(cafile=data_dir / "ca.pem")
        # Each request has a connection of its own, which the service closes at the end.
        for _ in range(3):
            with urllib.request.urlopen(f"{api}/healthz", context=context, timeout=30) as answer:
                assert answer.status == 200


def test_a_command_runs_where_the_working_directory_was_removed(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "endpoints.json").unlink(missing_ok=True)
    gone = tmp_path / "gone"
    gone.mkdir()
    asked = thingmint("env", "--data-dir", str(data_dir))
    script = ["sh", "-c", 'cd "$1" && rmdir "$1" && shift && exec "$@"', "sh", str(gone), *asked]
    result = subprocess.run(script, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert f"start it with `thingmint serve --data-dir {data_dir}`" in result.stderr


def test_a_process_keeps_the_streams_that_it_has() -> None:
    code = (
        "import sys; from thingmint.host.standard_streams import prepare_standard_streams as prepare; prepare(); "
        "print(sys.stdin.read(), end=''); print('error', file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], input="é\n", capture_output=True, encoding="utf-8", check=True
    )
    assert (result.stdout, result.stderr) == ("é\n", "error\n")


def test_closed_streams_are_empty_and_print_nothing() -> None:
    code = (
        "import os, sys; from thingmint.host.standard_streams import prepare_standard_streams as prepare; prepare(); "
        "print('error', file=sys.stderr); sys.exit(0 if sys.stdin.read() == '' and os.dup(0) > 2 else 1)"
    )
    assert subprocess.run(closed([sys.executable, "-c", code], 0, 1, 2), check=False).returncode == 0


def test_an_interruption_before_the_command_ends_the_program_without_a_traceback() -> None:
    # The import of the commands takes most of the start.
    code = (
        "import builtins; real = builtins.__import__\n"
        "def interrupted(name, *rest):\n"
        "    if name == 'thingmint.cli.commands': raise KeyboardInterrupt\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = interrupted\n"
        "from thingmint.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (130, "")


def test_a_file_name_that_is_no_text_is_printed_as_it_is(data_dir: Path) -> None:
    export = os.fsencode(data_dir.parent / "export") + b"\xff"
    asked = [*map(os.fsencode, thingmint("log", "export", "--data-dir", str(data_dir))), export]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8:strict"}
    result = subprocess.run(asked, env=environment, capture_output=True, check=True)
    assert result.stdout.startswith(export + b": ")
