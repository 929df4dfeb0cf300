"""Files of the data directory: whole or absent, with the right mode, held by one process."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from thingmint.data_directory.files import DirectoryInUse, held, is_held, make_directory, whole_folder, write_durably
from thingmint.host.file_locks import lock


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_file_gets_its_mode_whatever_the_umask(tmp_path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        write_durably(tmp_path / "file", b"content", mode)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "file") == mode
    assert (tmp_path / "file").read_bytes() == b"content"


def test_file_is_replaced_whole(tmp_path: Path) -> None:
    write_durably(tmp_path / "file", b"the first content")
    write_durably(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_failed_sync_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_durably(tmp_path / "file", b"old")

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_durably(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_content_is_synced_before_it_takes_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        steps.append("directory" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_fsync(descriptor)

    def replace(self: Path, target: Path) -> Path:
        steps.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_durably(tmp_path / "file", b"content")
    assert steps == ["file", "rename", "directory"]


def test_directories_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")
    assert mode_of(tmp_path / "a" / "b") == 0o700


def test_second_holder_is_refused_and_told_who_holds(tmp_path: Path) -> None:
    message = f"thingmint serve .process {os.getpid()}"
    with held(tmp_path, "thingmint serve"), pytest.raises(DirectoryInUse, match=message), held(tmp_path, "another"):
        raise AssertionError("held twice")
    assert not is_held(tmp_path)


def test_directory_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from thingmint.data_directory.files import held\n"
        f"with held(Path({str(tmp_path)!r}), 'child'):\n    print('held', flush=True)\n    sys.stdin.read()"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert is_held(tmp_path)
        child.kill()
    assert not is_held(tmp_path)


def test_directory_that_was_never_held_is_free(tmp_path: Path) -> None:
    assert not is_held(tmp_path)


def test_a_folder_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    with whole_folder(folder) as unfinished:
        (unfinished / "inner").mkdir()
        (unfinished / "inner" / "file").write_bytes(b"content")
        assert not folder.exists()
    assert (folder / "inner" / "file").read_bytes() == b"content"
    assert mode_of(folder) == 0o700
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), whole_folder(tmp_path / "new") as unfinished:  # noqa: PT012 - it must have begun
        (unfinished / "file").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_what_an_interrupted_process_left_of_a_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".new.unfinished").mkdir()
    (tmp_path / ".new.unfinished" / "half").touch()
    (tmp_path / "new").mkdir()
    with whole_folder(tmp_path / "new") as unfinished:
        (unfinished / "file").touch()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["file"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_folder_with_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "mine").touch()
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "new"):
        pass
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mine"]
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_two_processes_do_not_write_one_folder(tmp_path: Path) -> None:
    folder = tmp_path / "parent" / "new"
    with whole_folder(folder) as unfinished:
        (unfinished / "file").write_text("content")
        with pytest.raises(OSError, match="another process is writing it"), whole_folder(folder):
            pytest.fail("the folder belongs to the first one")
        (unfinished / "other").write_text("content")
    assert sorted(path.name for path in folder.iterdir()) == ["file", "other"]
    assert [path.name for path in folder.parent.iterdir()] == ["new"]


def test_a_lock_that_its_holder_has_removed_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def removed(descriptor: int) -> None:
        lock(descriptor)
        (tmp_path / ".new.lock").unlink()

    monkeypatch.setattr("thingmint.data_directory.files.lock", removed)
    with pytest.raises(OSError, match="another process is writing it"), whole_folder(tmp_path / "new"):
        pytest.fail("another process may hold the lock of a new file")
