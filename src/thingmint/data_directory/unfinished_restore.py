"""Owns the mark of an unfinished restore: services and commands refuse a directory that has it."""

from pathlib import Path

import msgspec

from thingmint.data_directory.files import remove_leftovers, sync_directory, write_durably

_NAME = "restore-unfinished.json"


class RestoreUnfinished(Exception):
    """A restore into the directory was interrupted or is running; the message says what to do."""


class RestoreMark(msgspec.Struct, frozen=True):
    """The backup of the unfinished restore: the SHA-256 of its manifest in hex."""

    restore_id: str
    manifest_sha256: str


def read_mark(data_dir: Path) -> RestoreMark | None:
    """Return the mark, None if there is none; raise RestoreUnfinished if it cannot be read."""
    try:
        return msgspec.json.decode((data_dir / _NAME).read_bytes(), type=RestoreMark)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise RestoreUnfinished(f"{data_dir / _NAME} cannot be read: remove it with all else in the folder") from error


def set_mark(data_dir: Path, mark: RestoreMark) -> None:
    """Mark the directory durably; raise OSError."""
    write_durably(data_dir / _NAME, msgspec.json.encode(mark), 0o600)


def remove_mark(data_dir: Path) -> None:
    """Remove the mark, so that the directory can be used; raise OSError. No other process may write there."""
    remove_leftovers(data_dir)
    (data_dir / _NAME).unlink(missing_ok=True)
    sync_directory(data_dir)


def require_no_mark(data_dir: Path) -> None:
    """Raise RestoreUnfinished if the directory is marked."""
    if (data_dir / _NAME).exists():
        raise RestoreUnfinished(
            f"a restore into {data_dir} has not ended: run the same `thingmint restore` again, which begins anew"
        )
