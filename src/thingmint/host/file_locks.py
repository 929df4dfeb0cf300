"""Owns locks between processes on files and folders: the system lets go of them when a process ends, however it ends.

Linux and macOS lock any open file, and folders too; Windows locks a byte of a file.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from thingmint.host.platform_modules import fcntl, msvcrt

# Windows gives a byte to one process at a time, and the text of who holds the lock stands before it.
_LOCKED_BYTE = 1 << 20
_FILE_IN_FOLDER = ".lock"


class AlreadyHeld(Exception):
    """Another process holds the lock."""


def lock(descriptor: int) -> None:
    """Lock the open file for this process, until the descriptor is closed; raise AlreadyHeld if another one has it."""
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
    """Hold a folder for this process; raise AlreadyHeld if another process does, OSError if it cannot be opened."""
    # Where folders can be locked themselves, no file of the lock is left in them.
    flags = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
    locked = path if fcntl is not None else path / _FILE_IN_FOLDER
    descriptor = os.open(locked, flags if fcntl is not None else os.O_RDWR | os.O_CREAT, 0o600)
    try:
        lock(descriptor)
        yield
    finally:
        os.close(descriptor)
