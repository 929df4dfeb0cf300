"""The commands on accounts, of the test mode and `serve --ephemeral`, typed in beside running services."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.clients.aws import Live
from tests.support.services.service import running_service, thingmint

from thingmint.cli.commands import main as commands
from thingmint.cli.terminal.times import Duration


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service in test mode."""
    with running_service(tmp_path_factory.mktemp("accounts") / "data", "--test-mode") as service:
        yield Live(service, None)


def typed(live: Live, *command: str, stdin: str = "") -> Result:
    clean = {name: None for name in os.environ if name.startswith(("THINGMINT_", "AWS_"))}
    return CliRunner().invoke(commands, [*command, "--data-dir", str(live.service.data_dir)], input=stdin, env=clean)


def test_an_account_is_created_used_listed_and_deleted(live: Live) -> None:
    made = json.loads(typed(live, "account", "create", "--id", "222222222222", "--json").stdout)
    assert (made["Version"], made["Account"]) == (1, "222222222222")
    assert "secret is shown" in typed(live, "account", "create").output
    listed = json.loads(typed(live, "account", "list", "--json").stdout)
    assert {"Account": "222222222222", "AccessKeys": 1} in listed
    assert {"Account": live.account, "AccessKeys": 1} in listed
    assert "222222222222" in typed(live, "account", "list").stdout
    again = typed(live, "account", "create", "--id", "222222222222")
    assert (again.exit_code, "exists already" in again.output) == (1, True)

    asked = typed(live, "account", "delete", "222222222222", stdin="n\n")
    assert asked.exit_code == 1
    assert "222222222222" in typed(live, "account", "list").stdout
    deleted = typed(live, "account", "delete", "222222222222", "--yes")
    assert (deleted.exit_code, deleted.stdout) == (0, "222222222222 is deleted: 1 rows\n")
    assert "222222222222" not in typed(live, "account", "list").stdout


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("create", "--id", "12"), "twelve digits"),
        (("delete", "12", "--yes"), "twelve digits"),
        (("delete", "333333333333", "--yes"), "does not exist"),
        (("delete", "000000000000", "--yes"), "own account"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(live: Live, command: tuple[str, ...], reason: str) -> None:
    refused = typed(live, "account", *command)
    assert refused.exit_code == 1
    assert reason in refused.output
    assert "Traceback" not in refused.output


def test_the_test_mode_is_controlled(live: Live, tmp_path: Path) -> None:
    seed = tmp_path / "seed.json"
    seed.write_text(json.dumps({"operations": [{"operation": "CreateThing", "input": {"thingName": "pump"}}]}))
    assert json.loads(typed(live, "test-mode", "seed", str(seed)).stdout)[0]["thingName"] == "pump"
    first = typed(live, "test-mode", "clock").stdout
    moved = typed(live, "test-mode", "clock", "--advance", "2d").stdout
    assert first[:10] < moved[:10]
    assert typed(live, "test-mode", "clock", "--set-right").stdout < moved
    assert typed(live, "test-mode", "reset").stdout.startswith("removed ")
    client = live.client()
    assert client.list_things()["things"] == []
    client.close()
    seed.write_text("{")
    assert "cannot be read as JSON" in typed(live, "test-mode", "seed", str(seed)).output
    seed.write_text('{"operations": 1}')
    assert "A seed is an object" in typed(live, "test-mode", "seed", str(seed)).output


def test_a_service_outside_test_mode_says_so(tmp_path: Path) -> None:
    with running_service(tmp_path / "data") as service:
        refused = typed(Live(service, None), "test-mode", "reset")
        assert refused.exit_code == 1
        assert "--test-mode" in refused.output
    gone = typed(Live(service, None), "test-mode", "clock")
    assert (gone.exit_code, "no service is running" in gone.output) == (1, True)


def test_the_test_mode_is_for_this_machine_and_sqlite_alone(tmp_path: Path) -> None:
    for given, reason in (
        (("--api", "0.0.0.0:0"), "api is 0.0.0.0"),
        (("--mqtt", "192.0.2.1:0"), "mqtt is 192.0.2.1"),
        (("--mqtt-alpn", "0.0.0.0:0"), "mqtt_alpn is 0.0.0.0"),
        (("--database-url", "postgresql://a@localhost/b"), "SQLite alone"),
    ):
        refused = CliRunner().invoke(commands, ["serve", "--test-mode", "--data-dir", str(tmp_path / "d"), *given])
        assert (refused.exit_code, reason in refused.output) == (1, True), refused.output
    assert not (tmp_path / "d").exists()


def test_an_ephemeral_service_has_no_other_directory() -> None:
    refused = CliRunner().invoke(commands, ["serve", "--ephemeral", "--data-dir", "here"])
    assert (refused.exit_code, "leave --data-dir out" in refused.output) == (1, True)


def test_the_lines_of_an_ephemeral_service_are_all_that_a_shell_needs(tmp_path: Path) -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    environment = own | {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        thingmint("serve", "--ephemeral", "--stop-with-stdin"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or not lines[-1].startswith("# Thingmint"):
            lines.append(process.stdout.readline())
        script = "".join(lines) + f"{sys.executable} -m awscli sts get-caller-identity\n"
        shown = subprocess.run(["/bin/sh", "-euc", script], env=environment, capture_output=True, text=True, check=True)
        assert json.loads(shown.stdout)["Account"] == "000000000000"
        _, log = process.communicate()
    assert process.returncode == 0
    assert "test mode" in log
    assert [path for path in tmp_path.iterdir() if path.name.startswith("thingmint-")] == []


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1w", 604_800)])
def test_durations(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "1", "-1h", "1y", "0.5h"])
def test_what_is_no_duration(live: Live, text: str) -> None:
    refused = typed(live, "test-mode", "clock", f"--advance={text}")
    assert (refused.exit_code, "no duration" in refused.output) == (2, True)
