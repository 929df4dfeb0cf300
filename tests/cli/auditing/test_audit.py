"""`thingmint audit`: which entries are shown, in which form, and what is written meanwhile."""

import asyncio
import json
import os
import pty
import shutil
import signal
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.support.services.forked import start_thingmint

from thingmint.cli.commands import main
from thingmint.cli.settings import config_of
from thingmint.cli.terminal.times import Moment
from thingmint.core.audit_entry import AuditEntry
from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.records.audit import append_audit
from thingmint.registration.kernel.audit_filter import AuditFilter
from thingmint.service.opening import open_registry, registry_beside_service

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
SCOPE = Scope(AccountId("000000000000"), Region("us-east-1"))


def entry(number: int, action: str = "CreateThing", user: str = "line-7") -> AuditEntry:
    """Return the entry of one minute."""
    return AuditEntry(
        at=NOW + timedelta(minutes=number),
        scope=SCOPE,
        principal_arn=f"arn:aws:iam::000000000000:user/{user}",
        source_address="192.0.2.1",
        request_id=f"request-{number}",
        action=action,
        resource=f"arn:aws:iot:us-east-1:000000000000:thing/lamp-{number}",
        detail={"name": "a\x1b[2J" if number == 1 else "x" * 60},
    )


def append(data_dir: Path, *entries: AuditEntry) -> None:
    """Write entries as a running service would."""

    async def work() -> None:
        async with registry_beside_service(config_of({"data_dir": str(data_dir)})) as registry:
            for each in entries:
                await registry.store.write(partial(append_audit, each))

    asyncio.run(work())


@pytest.fixture(scope="module")
def five_entries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with five entries, of minutes 0 to 4; to begin one takes longer than a test."""
    path = tmp_path_factory.mktemp("audit") / "data"

    async def begin() -> None:
        async with open_registry(config_of({"data_dir": str(path)})):
            pass

    asyncio.run(begin())
    append(path, entry(0), entry(1), entry(2, "DeleteThing", "line-8"), entry(3), entry(4, "CreatePolicy", "line-8"))
    return path


@pytest.fixture
def data_dir(five_entries: Path, tmp_path: Path) -> Path:
    """A copy of it for each test."""
    return shutil.copytree(five_entries, tmp_path / "data")


def minutes(data_dir: Path, *arguments: str) -> list[int]:
    """Return the minutes of the entries that are shown."""
    result = CliRunner().invoke(main, ["audit", "--data-dir", str(data_dir), "--json", *arguments])
    assert result.exit_code == 0, result.output
    return [int(json.loads(line)["request_id"].removeprefix("request-")) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        ((), [4, 3, 2, 1, 0]),
        (("--limit", "2"), [4, 3]),
        (("--since", "2026-01-31T12:02"), [4, 3, 2]),
        (("--since", "2026-01-31T13:02+01:00", "--until", "2026-01-31T12:04Z"), [3, 2]),
        (("--since", "1m"), []),
        (("--action", "creatething"), [3, 1, 0]),
        (("--action", "Create*"), [4, 3, 1, 0]),
        (("--action", "Create"), []),
        (("--principal", "line-8"), [4, 2]),
        (("--principal", "*line-?"), [4, 3, 2, 1, 0]),
        (("--principal", "line-?"), []),
        (("--resource", "lamp-3"), [3]),
        (("--resource", "arn:aws:iot:us-east-1:000000000000:thing/lamp-4"), [4]),
        (("--principal", "line-8", "--action", "Delete*"), [2]),
        (("--principal", "line-7", "--limit", "1"), [3]),
        (("--account", "111111111111"), []),
    ],
)
def test_entries_that_are_asked_for_are_shown(data_dir: Path, arguments: tuple[str, ...], shown: list[int]) -> None:
    assert minutes(data_dir, *arguments) == shown


def test_entries_are_found_behind_many_that_are_not_asked_for(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thingmint.cli.auditing.audit._PAGE", 2)
    assert minutes(data_dir, "--resource", "lamp-0") == [0]
    assert minutes(data_dir) == [4, 3, 2, 1, 0]
    assert minutes(data_dir, "--principal", "nobody") == []


def test_an_entry_that_was_dated_by_a_clock_behind_is_found(data_dir: Path) -> None:
    append(data_dir, replace(entry(5), at=NOW - timedelta(minutes=30)))
    assert minutes(data_dir, "--since", "2026-01-31T12:03") == [4, 3]
    assert minutes(data_dir, "--until", "2026-01-31T12:00") == [5]


def test_the_audit_trail_is_read_without_the_passphrase_of_the_keys(data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("open sesame, and a bit more")
    flags = ["--data-dir", str(data_dir)]
    sealed = CliRunner().invoke(main, ["seal", *flags, "--new-passphrase-file", str(tmp_path / "passphrase")])
    assert sealed.exit_code == 0, sealed.output
    assert minutes(data_dir)[-5:] == [4, 3, 2, 1, 0]


def test_without_a_terminal_each_entry_is_one_line_with_whole_names(data_dir: Path) -> None:
    lines = CliRunner().invoke(main, ["audit", "--data-dir", str(data_dir)]).stdout.splitlines()
    assert len(lines) == 6
    assert "arn:aws:iot:us-east-1:000000000000:thing/lamp-4" in lines[1]
    assert "a\\x1b[2J" in lines[4]
    empty = CliRunner().invoke(main, ["audit", "--data-dir", str(data_dir), "--principal", "nobody"])
    assert (empty.exit_code, empty.output) == (0, "")


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("command", [["audit"], ["audit", "--follow"], ["access-key", "list"], ["settings"]])
def test_on_a_terminal_lines_fit(data_dir: Path, columns: int, command: list[str]) -> None:
    leader, follower = pty.openpty()
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    words = (*command, "--data-dir", str(data_dir))
    process = start_thingmint(*words, stdout=follower, environment={**own, "COLUMNS": str(columns)})
    os.close(follower)
    written = b""
    try:
        while not (command[-1] == "--follow" and b"lamp-4" in written):
            written += os.read(leader, 65536)
    except OSError:
        # The end of the command is the end of its terminal.
        pass
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        os.close(leader)
    lines = written.decode().split("\r\n")
    assert max(map(len, lines)) <= columns
    if command[0] == "audit":
        assert "thing/lamp-4" in written.decode()
        assert "arn:" not in written.decode()


def test_new_entries_are_shown_as_they_are_written(data_dir: Path) -> None:
    arguments = ["audit", "--follow", "--json", "--limit", "2", "--principal", "line-8", "--data-dir", str(data_dir)]
    process = start_thingmint(*arguments)
    assert process.stdout is not None
    try:
        assert [json.loads(process.stdout.readline())["request_id"] for _ in range(2)] == ["request-2", "request-4"]
        append(data_dir, entry(5), entry(6, user="line-8"))
        assert json.loads(process.stdout.readline())["request_id"] == "request-6"
        append(data_dir, entry(7, user="line-8"), entry(8, user="line-8"))
        assert [json.loads(process.stdout.readline())["request_id"] for _ in range(2)] == ["request-7", "request-8"]
    finally:
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=60)
    assert (process.returncode, rest, said) == (130, "", "Interrupted.\n")


def test_a_reader_that_has_enough_ends_the_command_without_a_word(data_dir: Path) -> None:
    process = start_thingmint("audit", "--follow", "--data-dir", str(data_dir))
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    append(data_dir, *(entry(number) for number in range(5, 8)))
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


def test_durations_count_back_from_now() -> None:
    moment = Moment(lambda: NOW)
    assert [moment.convert(text, None, None) for text in ("90s", "30m", "2h", "7d", "1w")] == [
        NOW - timedelta(seconds=90),
        NOW - timedelta(minutes=30),
        NOW - timedelta(hours=2),
        NOW - timedelta(days=7),
        NOW - timedelta(weeks=1),
    ]
    assert moment.convert("2026-01-31", None, None) == datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "2", "h", "yesterday", "2026-13-01", "999999w", "0001-01-01T00:00+14:00", "٣m"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is neither a duration such as 2h"):
        Moment(lambda: NOW).convert(text, None, None)


def test_a_filter_that_asks_for_nothing_matches_everything() -> None:
    assert AuditFilter().matches(entry(0))
