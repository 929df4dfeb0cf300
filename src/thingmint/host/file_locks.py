"""Owns locks between processes on files and folders. The system releases them when a process ends, even by a crash.

Linux and macOS lock any open file, and folders too; Windows locks a byte of a file.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from thingmint.host.platform_modules import fcntl, msvcrt

# On Windows one process at a time can lock a byte. The text that names the holder of the lock is before this byte.
_LOCKED_BYTE = 1 << 20
_FILE_IN_FOLDER = ".lock"


class AlreadyHeld(Exception):
    """Another process holds the lock."""


def lock(descriptor: int) -> None:
    """Lock the open file until the descriptor is closed; raise AlreadyHeld if another process has locked it."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        raise AlreadyHeld from error


@contextlib.contextmanager
def folder_held(path: Path) -> Iterator[None]:
    """Lock a folder for this process until the end of the block.

    Raises AlreadyHeld if another process has the lock, OSError if the folder cannot be opened.
    """
    # Where the system can lock a folder itself, no lock file is left in it.
    flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
    locked = path if fcntl is not None else path / _FILE_IN_FOLDER
    descriptor = os.open(locked, flags if fcntl is not None else os.O_RDWR | os.O_CREAT, 0o600)
    try:
        lock(descriptor)
        yield
    finally:
        os.close(descriptor)
