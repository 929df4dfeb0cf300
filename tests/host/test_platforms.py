"""What macOS and Windows lack is not needed: the service without the one, client commands without the other.

Modules and functions are really taken away from the interpreter, in a process of its own. A Mac and a Windows machine
were not at hand; `msvcrt`, which Windows has, is played by a module that locks by the system's other kind of lock.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clients.aws import Live
from tests.support.services.service import running_service

TAKE_AWAY = """
import sys, os, asyncio, subprocess, tempfile, importlib.abc
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is not there", name=name)
for name in BLOCKED:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Blocker())
for name in GONE:
    if hasattr(os, name):
        delattr(os, name)
"""
MACOS = "BLOCKED, GONE = {'uvloop'}, ['memfd_create', 'MFD_CLOEXEC', 'sched_getaffinity']\n" + TAKE_AWAY
WINDOWS = (
    "BLOCKED = {'uvloop', 'fcntl', 'pwd', 'grp', 'resource', 'termios'}\n"
    "GONE = ['memfd_create', 'MFD_CLOEXEC', 'fchmod', 'pread', 'pwrite', 'getuid', 'O_DIRECTORY', 'O_CLOEXEC',\n"
    "        'O_NOFOLLOW', 'O_NONBLOCK', 'sched_getaffinity', 'getppid', 'nice', 'fork']\n"
    "import fcntl as _fcntl, types\n"
    "def _locking(descriptor, mode, length):\n"
    "    _fcntl.lockf(descriptor, _fcntl.LOCK_EX | _fcntl.LOCK_NB, length, os.lseek(descriptor, 0, os.SEEK_CUR))\n"
    + TAKE_AWAY
    + "msvcrt = types.ModuleType('msvcrt')\n"
    "msvcrt.locking, msvcrt.LK_NBLCK = _locking, 2\n"
    "sys.modules['msvcrt'] = msvcrt\n"
)
COMMAND = "from thingmint.cli import main\nmain(sys.argv[1:])\n"


def run(
    platform: str, *arguments: str, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command as if on the platform."""
    return subprocess.run(
        [sys.executable, "-c", platform + COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_the_service_starts_and_serves_where_macos_has_nothing_in_place_of_linux(tmp_path: Path) -> None:
    temporary = {"TMPDIR": str(tmp_path)}
    own = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "THINGMINT_"))}
    finished = run(MACOS, "serve", "--ephemeral", "--stop-with-stdin", environment=own | temporary)
    assert finished.returncode == 0, finished.stderr
    assert "export AWS_ENDPOINT_URL_IOT=https://" in finished.stdout
    assert "is ready" in finished.stdout
    # Neither the data directory nor a file with a key is left.
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service on this platform."""
    with running_service(tmp_path_factory.mktemp("platforms") / "data") as service:
        yield Live(service, None)


@pytest.mark.parametrize("platform", [MACOS, WINDOWS], ids=["macos", "windows"])
def test_client_commands_run(live: Live, tmp_path: Path, platform: str) -> None:
    environment = live.service.environment
    for _ in range(2):
        issued = run(
            platform, "issue", "--count", "2", "--active", "--out", str(tmp_path / "out"), environment=environment
        )
        assert issued.returncode == 0, issued.stderr
    assert len(list((tmp_path / "out").rglob("*.key.pem"))) == 2
    # What is read from the database runs where the service does, which is not on Windows.
    of_the_service = [["issuer", "show"]] if platform is MACOS else []
    for command in (["--help"], ["serve", "--help"], ["settings"], *of_the_service):
        named = () if "--help" in command else ("--data-dir", str(live.service.data_dir))
        shown = run(platform, *command, *named)
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout


def test_a_simulated_fleet_connects_without_files_in_memory(live: Live) -> None:
    data_dir = str(live.service.data_dir)
    shown = run(MACOS, "fleet", "simulate", "--devices", "2", "--data-dir", data_dir)
    assert shown.returncode == 0, shown.stdout + shown.stderr


def test_two_runs_in_one_folder_keep_out_of_each_others_way_on_windows(tmp_path: Path) -> None:
    program = WINDOWS + (
        "from pathlib import Path\n"
        "from thingmint.host.file_locks import AlreadyHeld, folder_held\n"
        "with folder_held(Path(sys.argv[1])):\n"
        "    inner = subprocess.run([sys.executable, '-c', sys.argv[2], sys.argv[1]], capture_output=True, text=True)\n"
        "    sys.exit('AlreadyHeld' not in inner.stderr)\n"
    )
    inner = WINDOWS + (
        "from pathlib import Path\n"
        "from thingmint.host.file_locks import folder_held\n"
        "with folder_held(Path(sys.argv[1])):\n"
        "    pass\n"
    )
    finished = subprocess.run([sys.executable, "-c", program, str(tmp_path), inner], check=False)
    assert finished.returncode == 0


def test_the_service_says_that_it_does_not_run_on_windows(tmp_path: Path) -> None:
    # The name of the platform is set when everything is imported: other packages ask for it when they are.
    late = "import thingmint.cli.serve, thingmint.cli.commands, sys\nsys.platform = 'win32'\n"
    finished = run(late, "serve", "--data-dir", str(tmp_path / "data"))
    assert finished.returncode == 1
    assert "does not run on Windows" in finished.stderr
    assert not (tmp_path / "data").exists()
