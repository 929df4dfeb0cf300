"""Directories of ephemeral services: removed when they are killed, and never while they run."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from thingmint.cli.ephemeral import temporary_flags

HELD = """
import sys, time
from pathlib import Path
from thingmint.cli.ephemeral import temporary_flags

with temporary_flags({}) as flags:
    Path(flags["data_dir"]).mkdir()
    (Path(flags["data_dir"]) / "thingmint.sqlite").touch()
    print(flags["data_dir"], flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_directory_of_a_killed_service_is_removed_by_the_next_one(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "thingmint-ephemeral-link").symlink_to(precious)
    (tmp_path / "thingmint-ephemeral-file").touch()
    running, killed = _service(tmp_path), _service(tmp_path)
    try:
        killed[0].kill()
        killed[0].wait()
        assert killed[1].is_dir()
        with temporary_flags({}) as flags:
            own = Path(str(flags["data_dir"])).parent
            assert own.is_dir()
            assert not killed[1].exists()
            assert (running[1] / "data" / "thingmint.sqlite").exists()
        assert not own.exists()
    finally:
        for process, _ in (running, killed):
            process.communicate()
    assert {path.name for path in tmp_path.iterdir()} == {
        "precious",
        "thingmint-ephemeral-file",
        "thingmint-ephemeral-link",
    }


def _service(folder: Path) -> tuple["subprocess.Popen[str]", Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", HELD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"TMPDIR": str(folder)},
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip()).parent
