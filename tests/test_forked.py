"""Programs that a fork server runs are those that would have been executed, and nothing of one remains for another."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.test_clock_jumps import everything_turned_by
from tests.support.services.forked import programs, run_thingmint, start_thingmint
from tests.support.services.service import start_service


def executed(*arguments: str) -> tuple[int, str, str]:
    ended = subprocess.run([sys.executable, "-m", "thingmint", *arguments], capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize("arguments", [("--version",), ("issue", "--help"), ("no-such-command",)], ids=" ".join)
def test_a_command_prints_and_ends_as_if_it_were_executed(arguments: tuple[str, ...]) -> None:
    forked = run_thingmint(*arguments)
    assert (forked.returncode, forked.stdout, forked.stderr) == executed(*arguments)


@pytest.mark.parametrize("program", ["aws", "thingmint"])
def test_a_program_on_the_path_is_the_one_that_is_installed(program: str, tmp_path: Path) -> None:
    def said_by(folder: Path, *arguments: str) -> tuple[int, str]:
        command = [str(folder / program), *arguments]
        ended = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=tmp_path
        )
        return ended.returncode, ended.stdout

    installed = Path(sys.executable).parent
    for arguments in (("--version",), ("no-such-command",)):
        assert said_by(programs(), *arguments) == said_by(installed, *arguments)


def test_the_environment_of_one_run_is_not_that_of_the_next() -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("THINGMINT_")}
    told = run_thingmint("settings", "--json", environment=own | {"THINGMINT_REGION": "eu-west-7"}, check=True)
    assert "eu-west-7" in told.stdout
    assert "eu-west-7" not in run_thingmint("settings", "--json", environment=own, check=True).stdout


def test_a_signal_reaches_the_process_and_its_number_is_the_exit_code(tmp_path: Path) -> None:
    process = start_thingmint(
        "serve", "--data-dir", str(tmp_path / "data"), "--api", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"
    )
    assert process.poll() is None
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not Path(f"/proc/{process.pid}").exists()


def test_a_program_ends_with_the_shell_that_has_started_it(tmp_path: Path) -> None:
    # It would keep the shell's output open, and what reads that would wait for ever.
    pipe = tmp_path / "backup"
    os.mkfifo(pipe)
    command = [str(programs() / "thingmint"), "restore", str(pipe), "--data-dir", str(tmp_path / "data")]
    script = f"{shlex.join(command)} &\necho started\nwait"
    with subprocess.Popen(
        ["/bin/sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "started\n"
        # It reads a pipe into which nobody writes.
        with pipe.open("wb"):
            os.killpg(shell.pid, signal.SIGKILL)
            shell.communicate(timeout=60)


def test_a_wait_for_a_program_that_takes_too_long_names_it(tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired, match="serve"):
        run_thingmint(
            "serve", "--data-dir", str(tmp_path), "--api", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", timeout=0.1
        )


def test_a_program_whose_clock_is_turned_is_forked_too(tmp_path: Path) -> None:
    clock_file = tmp_path / "clock"
    clock_file.write_text("+0")
    process = start_thingmint("--version", environment=everything_turned_by(clock_file))
    assert not isinstance(process, subprocess.Popen)
    out, err = process.communicate()
    assert (process.returncode, out.split()[0], err) == (0, "thingmint", "")


def test_services_in_a_row_share_no_key(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        start_service(tmp_path / name, key_reserve=0).terminate()
        keys.append({path.name: path.read_bytes() for path in (tmp_path / name / "keys").glob("*.key")})
    assert keys[0].keys() == keys[1].keys()
    assert any("rsa" in name for name in keys[0])
    assert not set(keys[0].values()) & set(keys[1].values())


@pytest.mark.parametrize("variable", ["PYTHONPATH", "LD_PRELOAD", "TZ"])
def test_a_process_is_executed_if_its_environment_decides_how_it_starts(variable: str) -> None:
    value = {"PYTHONPATH": "/nowhere", "LD_PRELOAD": "", "TZ": "Pacific/Auckland"}[variable]
    process = start_thingmint("--version", environment=os.environ | {variable: value})
    assert isinstance(process, subprocess.Popen)
    out, err = process.communicate()
    assert (process.returncode, out.split()[0], err) == (0, "thingmint", "")
