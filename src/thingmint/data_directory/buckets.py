"""Owns the directory that replaces S3 in bulk registrations: a folder for each account, with a folder for each bucket.

For an account, only files in its folder are read: each component of a path is opened separately, and symbolic links are
not followed. Reports are in a separate folder, which is no bucket. Implements `registration.kernel.ports`.
"""

import asyncio
import contextlib
import errno
import logging
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from thingmint.core.error_text import reason_of
from thingmint.core.errors import InvalidRequest, ServiceUnavailable
from thingmint.core.identifiers import AccountId
from thingmint.core.provisioning.registration_task import MAX_LINE_BYTES, InputFile, InputLine, ReportType, TaskBroken

log = logging.getLogger(__name__)

REPORTS = "registration-reports"
# The most bytes of one read, for any number of lines.
_MAX_BATCH_BYTES = 1_048_576
_SKIPPED_AT_ONCE = 65_536
_ACCOUNT = re.compile(r"[0-9]{12}")


def _flags(*names: str) -> int:
    """Return these flags of `os.open` combined; 0 on Windows, which does not have them, but imports this module."""
    found = 0
    for name in names:
        found |= getattr(os, name, 0)
    return found


_FOLDER = os.O_RDONLY | _flags("O_DIRECTORY", "O_CLOEXEC")
# O_NONBLOCK, because opening a pipe would otherwise block until another process writes to it.
_FILE = os.O_RDONLY | _flags("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC")
_REPORT = os.O_RDWR | os.O_CREAT | _flags("O_NOFOLLOW", "O_CLOEXEC")


# These errors pass, so a task waits for their end: it has registered devices whose reports are not written yet.
_PASSING = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}
)


class DirectoryUnavailable(ServiceUnavailable):
    """This node cannot use the directory now: the task waits, or another node carries it out."""


class NoBuckets:
    """Replaces `Buckets` if the operator has set no directory: no task is started, carried out or deleted here."""

    @property
    def are_reachable(self) -> bool:
        """Return False."""
        return False

    async def find(self, account: AccountId, bucket: str, key: str) -> InputFile:
        """Raise InvalidRequest."""
        raise InvalidRequest("There are no buckets: the setting registration_dir names no directory")

    async def lines(
        self, account: AccountId, file: InputFile, offset: int, number: int, count: int
    ) -> Sequence[InputLine]:
        """Raise DirectoryUnavailable, so that other nodes carry out the task."""
        raise DirectoryUnavailable("The setting registration_dir names no directory")

    async def append(self, task_id: str, kind: ReportType, size: int, added: bytes) -> int:
        """Raise DirectoryUnavailable, so that other nodes carry out the task."""
        raise DirectoryUnavailable("The setting registration_dir names no directory")

    def location(self, task_id: str, kind: ReportType) -> str:
        """Return a URL of no file."""
        return f"about:blank#{task_id}-{kind.lower()}"

    async def delete_reports(self, task_id: str) -> None:
        """Do nothing: this node cannot reach any reports."""


class Buckets:
    """The directory of all accounts."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._is_waiting = False

    @property
    def are_reachable(self) -> bool:
        """Whether the directory exists now: its file system may not be mounted on this node."""
        return self._root.is_dir()

    def misplaced(self) -> list[str]:
        """Return the folders that belong to no account; in earlier versions, these were the buckets."""
        names = (each.name for each in self._root.iterdir() if each.is_dir())
        return sorted(name for name in names if name != REPORTS and not _ACCOUNT.fullmatch(name))

    async def find(self, account: AccountId, bucket: str, key: str) -> InputFile:
        """Return the account's file with its state.

        Raises InvalidRequest if it does not exist or cannot be read, or if reports cannot be written, and
        DirectoryUnavailable if that passes.
        """

        def find() -> InputFile:
            with _opened(self._root, account, bucket, key) as file:
                return _described(bucket, key, file)

        try:
            found = await asyncio.to_thread(find)
        except (OSError, ValueError) as error:
            _raise_if_passing(error, "A file cannot be read")
            # The message has no reason, because that would disclose which other files exist.
            raise InvalidRequest(f"There is no file {key} in the bucket {bucket} that may be read") from error
        try:
            await asyncio.to_thread(_require_reports, self._root)
        except OSError as error:
            _raise_if_passing(error, "Reports cannot be written")
            raise InvalidRequest(f"Reports of bulk registrations cannot be written: {reason_of(error)}") from error
        return found

    async def lines(
        self, account: AccountId, file: InputFile, offset: int, number: int, count: int
    ) -> Sequence[InputLine]:
        """Return up to ``count`` lines from the offset on.

        Raises TaskBroken if the file has changed, DirectoryUnavailable if it cannot be read now, or if the account's
        folder does not exist: then the directory is not mounted on this node, and another node may continue.
        """

        def read() -> Sequence[InputLine]:
            with _opened(self._root, account, file.bucket, file.key) as opened:
                if _described(file.bucket, file.key, opened) != file:
                    raise TaskBroken("The input file was changed after the task had begun")
                opened.seek(offset)
                return list(_lines(opened, offset, number, count))

        try:
            return await asyncio.to_thread(read)
        except (OSError, ValueError) as error:
            if not (self._root / account).exists():
                raise DirectoryUnavailable("The directory of bulk registrations is not reachable") from error
            _raise_if_passing(error, "The input file cannot be read")
            raise TaskBroken("The input file cannot be read any more") from error

    async def append(self, task_id: str, kind: ReportType, size: int, added: bytes) -> int:
        """Truncate a report to this size and append to it; return its new size once that is durable.

        Raises TaskBroken if it cannot be written, DirectoryUnavailable if that passes, for example because the disk is
        full, or if the directory does not exist.
        """
        if not added:
            return size
        try:
            size = await asyncio.to_thread(_append, self._root, _report_name(task_id, kind), size, added)
        except OSError as error:
            if not self._root.is_dir():
                raise DirectoryUnavailable("The directory of bulk registrations is not reachable") from error
            if error.errno in _PASSING and not self._is_waiting:
                self._is_waiting = True
                log.warning("bulk registrations wait: a report cannot be written: %s", reason_of(error))
            _raise_if_passing(error, "A report cannot be written")
            raise TaskBroken(f"A report cannot be written: {reason_of(error)}") from error
        if self._is_waiting:
            self._is_waiting = False
            log.info("the reports of bulk registrations are written again")
        return size

    def location(self, task_id: str, kind: ReportType) -> str:
        """Return the URL of a report."""
        return (self._root.resolve() / REPORTS / _report_name(task_id, kind)).as_uri()

    async def delete_reports(self, task_id: str) -> None:
        """Delete the reports that exist."""

        def delete() -> None:
            for kind in ReportType:
                with contextlib.suppress(OSError):
                    (self._root / REPORTS / _report_name(task_id, kind)).unlink()

        await asyncio.to_thread(delete)


def _report_name(task_id: str, kind: ReportType) -> str:
    return f"{task_id}-{kind.lower()}.json"


@contextlib.contextmanager
def _opened(root: Path, account: AccountId, bucket: str, key: str) -> Iterator[BinaryIO]:
    path: tuple[str, ...] = (account, bucket, *key.split("/"))
    folders, name = path[:-1], path[-1]
    if bucket == REPORTS or "/" in bucket or not {"", ".", ".."}.isdisjoint(path):
        raise ValueError("no name of a folder or a file")
    descriptor = os.open(root, _FOLDER)
    try:
        for folder in folders:
            inner = os.open(folder, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        file = os.open(name, _FILE, dir_fd=descriptor)
    finally:
        os.close(descriptor)
    with open(file, "rb") as opened:  # noqa: PTH123  a descriptor has no path
        yield opened


def _described(bucket: str, key: str, file: BinaryIO) -> InputFile:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("no regular file")
    return InputFile(bucket, key, status.st_size, status.st_mtime_ns)


def _lines(file: BinaryIO, offset: int, number: int, count: int) -> Iterator[InputLine]:
    beginning = offset
    for each in range(number, number + count):
        text = file.readline(MAX_LINE_BYTES + 1)
        if not text or offset - beginning > _MAX_BATCH_BYTES:
            return
        length = len(text)
        is_whole = text.endswith(b"\n") or length <= MAX_LINE_BYTES
        if not is_whole:
            length += _skip_line(file)
        yield InputLine(each, offset, offset + length, text if is_whole else None)
        offset += length


def _skip_line(file: BinaryIO) -> int:
    skipped = 0
    while part := file.readline(_SKIPPED_AT_ONCE):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _raise_if_passing(error: OSError | ValueError, what: str) -> None:
    if isinstance(error, OSError) and error.errno in _PASSING:
        raise DirectoryUnavailable(f"{what}: {reason_of(error)}") from error


def _require_reports(root: Path) -> None:
    """Raise OSError if no report can be made, so that no device is registered whose report is lost."""
    folder = root / REPORTS
    folder.mkdir(mode=0o750, exist_ok=True)
    os.close(os.open(folder, _FOLDER | os.O_NOFOLLOW))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _append(root: Path, name: str, size: int, added: bytes) -> int:
    folder = root / REPORTS
    folder.mkdir(mode=0o750, exist_ok=True)
    descriptor = os.open(folder, _FOLDER | os.O_NOFOLLOW)
    try:
        report = os.open(name, _REPORT, 0o640, dir_fd=descriptor)
        with open(report, "r+b", buffering=0) as file:  # noqa: PTH123  a descriptor has no path
            if os.fstat(report).st_size < size:
                raise TaskBroken("A report has lost what was written to it")
            # Bytes after the recorded end are from a crash. They were not counted, and are written again.
            file.truncate(size)
            file.seek(size)
            _write_all(file, added)
            os.fsync(report)
        if not size:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return size + len(added)


def _write_all(file: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
