"""Owns the writing of files in the data directory, atomically, durably and with the right mode, and its lock.

After a power failure, there is either the old file or the new one, and never a part of it: the content is written to a
temporary file and synced, the file is renamed, and the directory is synced, too.
"""

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from thingmint.host.file_locks import AlreadyHeld, lock

# Not inherited by child processes (POSIX), and without conversion of line ends (Windows).
_OWN_BYTES = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
# The names of write_durably's temporary files.
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")
_OF_FILE_SYSTEMS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})

_PROCESSES = "/proc/"


class DirectoryInUse(Exception):
    """Another process holds the lock of the data directory."""


def write_durably(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace the file by this content, durably and with this mode; raise OSError, which names it, if that fails."""
    require_replaceable(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with errors_name(path):
        _write_durably(path, temporary, content, mode)
    sync_directory(path.parent)


def require_replaceable(path: Path) -> None:
    """Raise OSError if the path is a device, a pipe or a socket, or the system's link to an open file.

    A rename would remove such a name from the system, for example /dev/null or /dev/stdout.
    """
    is_special = path.exists() and not path.is_file() and not path.is_dir()
    is_open_file = path.is_symlink() and (
        str(path.readlink()).startswith(_PROCESSES) or str(path.absolute().parent.resolve()).startswith(_PROCESSES)
    )
    if is_special or is_open_file:
        raise OSError(errno.EINVAL, "is no regular file, and would be replaced by one", str(path))


@contextlib.contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Let an OSError name this path, if it names a temporary file beside it, or is of a file system and names no file.

    The system's errors about open files, such as that the disk is full, name none.
    """
    try:
        yield
    except OSError as error:
        named = error.filename
        # Locks and unfinished files are beside the file and have its name, too.
        is_beside = isinstance(named, str | Path) and Path(named).name.startswith(f".{path.name}.")
        if is_beside or (named is None and error.errno in _OF_FILE_SYSTEMS):
            error.filename = str(path)
        raise


def _write_durably(path: Path, temporary: Path, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OWN_BYTES, mode)
        with os.fdopen(descriptor, "wb") as file:
            # The process's umask may have removed bits of the mode.
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


def make_directory(path: Path) -> None:
    """Create the directory and its missing parents durably."""
    missing = [parent for parent in (path, *path.parents) if not parent.exists()]
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o700)
        sync_directory(directory.parent)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a folder that gets this name when all of it is durable, and that is removed after an error.

    What an interrupted process has left of it is removed first. Raises OSError, also if the name has a folder that is
    not empty, or if another process is writing the folder.
    """
    with errors_name(path):
        make_directory(path.parent)
        with written_alone(path):
            yield from _whole_folder(path)


def _whole_folder(path: Path) -> Iterator[Path]:
    unfinished = path.with_name(f".{path.name}.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    try:
        make_directory(unfinished)
        yield unfinished
        for each in unfinished.rglob("*"):
            if each.is_dir():
                sync_directory(each)
            else:
                _sync_file(each)
        sync_directory(unfinished)
        unfinished.replace(path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    sync_directory(path.parent)


@contextlib.contextmanager
def written_alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file or folder that is being written; raise OSError if another process is writing it."""
    file = path.with_name(f".{path.name}.lock")
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | _OWN_BYTES, 0o600)
    try:
        try:
            lock(descriptor)
            # A process that has ended meanwhile removed the file that is locked.
            is_held = file.stat().st_ino == os.fstat(descriptor).st_ino
        except (AlreadyHeld, FileNotFoundError):
            is_held = False
        if not is_held:
            raise OSError(errno.EBUSY, "another process is writing it", str(path))
        try:
            yield
        finally:
            # Windows does not remove an open file.
            with contextlib.suppress(OSError):
                file.unlink()
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of interrupted writes; no other process may be writing in the directory."""
    for path in directory.iterdir():
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink()


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable, if the system supports it."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def held(path: Path, holder: str) -> Iterator[None]:
    """Lock the directory for this process; raise DirectoryInUse, which names the other holder, if it is locked.

    The kernel releases the lock when the process ends in any way, so there are no stale locks.
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
            # Only for the message above, so a full disk must not prevent a service from starting.
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, f"{holder} (process {os.getpid()})\n".encode())
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock of the directory."""
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
