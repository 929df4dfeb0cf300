"""The passphrase of all keys is added, changed or removed; a crash at any step leaves one passphrase that opens all."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.machine.soak import examples

from thingmint.data_directory.authorities import AuthorityFiles
from thingmint.data_directory.certificate_files import AuthorityUnusable, is_sealed
from thingmint.data_directory.files import held
from thingmint.data_directory.resealing import reseal
from thingmint.issuance.keys.private_keys import PrivateKeyError, load_private_key
from thingmint.issuance.profiles.serial_number import random_serial_number

OLD, NEW = b"the old passphrase", b"the new passphrase"
# Each step is a process of its own, a fork of one that has imported everything; the long form takes every step.
STRIDE = examples(8, 1)
CHANGES = [(None, NEW), (OLD, NEW), (OLD, None)]

# For each line, it changes the passphrase in a fork that is killed when it has made so many calls that change a name or
# a file durably, and prints how the fork ended.
_KILLED = """
import os, signal, sys
from pathlib import Path
from thingmint.data_directory import resealing
from thingmint.issuance.keys import private_keys
private_keys._KDF_ROUNDS = 1000
present, wanted = (text.encode() or None for text in sys.argv[1:])
def counted(call):
    def counting(*arguments, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return call(*arguments, **named)
    return counting
for line in sys.stdin:
    calls, _, data_dir = line.rstrip().partition(" ")
    left = int(calls)
    pid = os.fork()
    if pid == 0:
        for name in ("fsync", "rename", "replace", "unlink", "open"):
            setattr(os, name, counted(getattr(os, name)))
        resealing.reseal(Path(data_dir), present, wanted)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def text_of(passphrase: bytes | None) -> str:
    return "" if passphrase is None else passphrase.decode()


def files_of(data_dir: Path, passphrase: bytes | None) -> AuthorityFiles:
    numbers = lambda: random_serial_number(os.urandom)  # noqa: E731  one line of a constructor
    return AuthorityFiles(data_dir, passphrase, "ecdsa-p256", numbers, lambda: datetime.now(UTC), True)


def keys(data_dir: Path) -> list[Path]:
    return sorted((data_dir / "keys").rglob("*.key"))


def opened_by(data_dir: Path, passphrase: bytes | None) -> bool:
    """Return whether the passphrase opens every key; without one, whether none is sealed."""
    for path in keys(data_dir):
        stored = path.read_bytes()
        try:
            load_private_key(stored, passphrase if is_sealed(stored) else None)
        except PrivateKeyError:
            return False
    return True


def numbers_of(data_dir: Path, passphrase: bytes | None) -> list[object]:
    found: list[object] = []
    for path in keys(data_dir):
        stored = path.read_bytes()
        found.append(load_private_key(stored, passphrase if is_sealed(stored) else None).private_numbers())
    return found


@pytest.mark.parametrize(("present", "wanted"), CHANGES)
def test_every_key_is_sealed_by_the_wanted_passphrase_and_stays_the_same(
    tmp_path: Path, present: bytes | None, wanted: bytes | None
) -> None:
    files_of(tmp_path, present).open()
    before = numbers_of(tmp_path, present)
    assert reseal(tmp_path, present, wanted) == len(before) == 5
    assert all(is_sealed(path.read_bytes()) is (wanted is not None) for path in keys(tmp_path))
    assert numbers_of(tmp_path, wanted) == before
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in keys(tmp_path))
    # Asked once more, with the same arguments or with the new passphrase as the present one, there is nothing to do.
    for again in (present, wanted):
        assert reseal(tmp_path, again, wanted) == 0
    files_of(tmp_path, wanted).open()


def test_with_a_wrong_passphrase_nothing_is_changed(tmp_path: Path) -> None:
    files_of(tmp_path, OLD).open()
    before = {path: path.read_bytes() for path in sorted((tmp_path / "keys").rglob("*")) if path.is_file()}
    for present in (None, b"wrong"):
        with pytest.raises(AuthorityUnusable, match=r"keys/.*\.key: "):
            reseal(tmp_path, present, NEW)
        assert {path: path.read_bytes() for path in before} == before
        assert {path for path in (tmp_path / "keys").rglob("*") if path.is_file()} == set(before)


@pytest.fixture
def killed_after(present: bytes | None, wanted: bytes | None) -> Iterator[Callable[[int, Path], int]]:
    """A function that changes the passphrase in a process that is killed; it returns how the process ended."""
    command = [sys.executable, "-c", _KILLED, text_of(present), text_of(wanted)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as forking:
        stdin, stdout = forking.stdin, forking.stdout
        assert stdin is not None
        assert stdout is not None

        def killed(calls: int, data_dir: Path) -> int:
            stdin.write(f"{calls} {data_dir}\n")
            stdin.flush()
            return int(stdout.readline())

        yield killed


@pytest.mark.soak
@pytest.mark.parametrize(("present", "wanted"), CHANGES)
def test_a_kill_at_any_step_leaves_a_directory_that_a_start_settles(
    tmp_path: Path, present: bytes | None, wanted: bytes | None, killed_after: Callable[[int, Path], int]
) -> None:
    steps, ended = 0, False
    outcomes = set()
    fresh = tmp_path / "fresh"
    files_of(fresh, present).open()
    before = numbers_of(fresh, present)
    while not ended:
        data_dir = tmp_path / str(steps)
        shutil.copytree(fresh, data_dir)
        status = killed_after(steps, data_dir)
        ended = status == 0
        assert ended or status == -signal.SIGKILL
        # One of the two passphrases starts the service, and the same command finishes what was begun.
        starts = {each: _starts(data_dir, each) for each in (present, wanted)}
        assert any(starts.values())
        outcomes.add(starts[wanted])
        reseal(data_dir, present, wanted)
        assert opened_by(data_dir, wanted)
        assert numbers_of(data_dir, wanted) == before
        assert not list((data_dir / "keys").rglob("*resealed*"))
        steps += STRIDE if present and wanted else 2 * STRIDE
    assert steps > 20
    assert True in outcomes


def _starts(data_dir: Path, passphrase: bytes | None) -> bool:
    try:
        files_of(data_dir, passphrase).open()
    except AuthorityUnusable:
        return False
    return True


def test_a_start_waits_for_nobody_while_the_passphrase_is_changed(tmp_path: Path) -> None:
    files_of(tmp_path, None).open()
    with held(tmp_path / "keys", "thingmint seal"), pytest.raises(AuthorityUnusable, match="thingmint seal"):
        files_of(tmp_path, None).open()


def test_a_command_beside_the_service_says_that_the_change_has_not_ended(tmp_path: Path) -> None:
    files_of(tmp_path, OLD).open()
    beside = replace(files_of(tmp_path, OLD), may_create=False)
    beside.open()
    mark = tmp_path / "keys" / "resealed"
    mark.touch()
    with pytest.raises(AuthorityUnusable, match="run the same `thingmint seal` again, or start the service"):
        beside.open()
    # A start completes the change; no key was left to be replaced.
    files_of(tmp_path, OLD).open()
    assert not mark.exists()
    beside.open()
