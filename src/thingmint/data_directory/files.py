"""Owns how files reach the data directory: whole, durable, with the right mode, and by one service at a time.

A power cut leaves either the old file or the new one, never a part: the text goes to a temporary name, is synced, takes
the name it was meant for, and the directory is synced too.
"""

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from thingmint.host.file_locks import AlreadyHeld, lock

# Not for programs that this one starts (POSIX), and with line ends as they are written (Windows).
_OWN_BYTES = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# What write_durably calls a file until it is whole.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")


class DirectoryInUse(Exception):
    """Another process holds the data directory."""


def write_durably(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace the file by this content, durably and with this mode; raise OSError if the disk refuses."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OWN_BYTES, mode)
        with os.fdopen(descriptor, "wb") as file:
            # The process's umask may have taken bits away that the mode is meant to give.
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Create the directory and its parents where they are missing, durably."""
    missing = [parent for parent in (path, *path.parents) if not parent.exists()]
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=mode)
        sync_directory(directory.parent)


def remove_leftovers(directory: Path) -> None:
    """Remove what writes that were cut off have left; nobody else may be writing in the directory."""
    for path in directory.iterdir():
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, where the system lets programs do that."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def held(path: Path, holder: str) -> Iterator[None]:
    """Hold the directory for this process; raise DirectoryInUse, naming the other holder, if it is held.

    The kernel lets go when the process ends, however it ends, so no stale lock can be left behind.
    """
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | _OWN_BYTES, 0o600)
    try:
        try:
            lock(descriptor)
        except AlreadyHeld:
            os.lseek(descriptor, 0, os.SEEK_SET)
            other = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
            raise DirectoryInUse(f"{path} is in use by {other}") from None
        os.ftruncate(descriptor, 0)
        with contextlib.suppress(OSError):
            # Only for the message above: a full disk must not keep a service from starting.
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, f"{holder} (process {os.getpid()})\n".encode())
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether a process holds the directory."""
    try:
        descriptor = os.open(path / "lock", os.O_RDWR | _OWN_BYTES)
    except FileNotFoundError:
        return False
    try:
        lock(descriptor)
    except AlreadyHeld:
        return True
    finally:
        os.close(descriptor)
    return False
