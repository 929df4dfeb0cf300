"""Owns the mark of a data directory whose registry was moved to PostgreSQL. Moves nothing."""

from pathlib import Path

import msgspec

from thingmint.data_directory.files import write_durably

_NAME = "moved.json"


class RegistryMoved(Exception):
    """The SQLite database in the directory is outdated, because the registry was moved; the message says what to do."""


class MoveMark(msgspec.Struct, frozen=True):
    """The registry's new place (host, port, name of a PostgreSQL database) and the time of the move (UTC, RFC 3339)."""

    place: str
    moved_at: str


def read_move_mark(data_dir: Path) -> MoveMark | None:
    """Return the mark, None if there is none; raise RegistryMoved if it cannot be read."""
    try:
        return msgspec.json.decode((data_dir / _NAME).read_bytes(), type=MoveMark)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise RegistryMoved(f"{data_dir / _NAME} cannot be read") from error


def set_move_mark(data_dir: Path, mark: MoveMark) -> None:
    """Mark the directory durably; raise OSError."""
    write_durably(data_dir / _NAME, msgspec.json.encode(mark) + b"\n")


def require_not_moved(data_dir: Path) -> None:
    """Raise RegistryMoved if the registry was moved."""
    mark = read_move_mark(data_dir)
    if mark is not None:
        raise RegistryMoved(
            f"the registry of {data_dir} was moved to PostgreSQL at {mark.place} at {mark.moved_at}: give "
            f"--database-url. The SQLite database in {data_dir} is that of before. To go back to it, remove "
            f"{data_dir / _NAME} and storage.json; certificates and revocations since the move are lost then"
        )
