"""Owns the directory that stands for S3 in bulk registrations: it has a folder for each account, and these the buckets.

Nothing outside of an account's folder is read for it: names are walked one by one, and no symbolic link is followed on
the way. Reports are written to a folder of their own, which is no bucket. Implements `registration.kernel.ports`.
"""

import asyncio
import contextlib
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from thingmint.core.errors import InvalidRequest, ServiceUnavailable
from thingmint.core.identifiers import AccountId
from thingmint.core.provisioning.registration_task import MAX_LINE_BYTES, InputFile, InputLine, ReportType, TaskBroken
from thingmint.host.words import reason_of

REPORTS = "registration-reports"
# At most this much is read at once, for any number of lines.
_MAX_BATCH_BYTES = 1_048_576
_SKIPPED_AT_ONCE = 65_536
_ACCOUNT = re.compile(r"[0-9]{12}")


def _flags(*names: str) -> int:
    """Return these flags of `os.open` together; Windows, where no service runs, imports this module and has none."""
    found = 0
    for name in names:
        found |= getattr(os, name, 0)
    return found


_FOLDER = os.O_RDONLY | _flags("O_DIRECTORY", "O_CLOEXEC")
# Without waiting: opening a pipe would block until somebody writes to it.
_FILE = os.O_RDONLY | _flags("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC")
_REPORT = os.O_RDWR | os.O_CREAT | _flags("O_NOFOLLOW", "O_CLOEXEC")


class DirectoryAway(ServiceUnavailable):
    """This node cannot reach the directory; a task that needs it is left to nodes that can."""


class NoBuckets:
    """What there is where the operator has named no directory: no task is begun, carried out or forgotten here."""

    @property
    def are_reachable(self) -> bool:
        """No."""
        return False

    async def find(self, account: AccountId, bucket: str, key: str) -> InputFile:
        """Refuse."""
        raise InvalidRequest("There are no buckets: the setting registration_dir names no directory")

    async def lines(
        self, account: AccountId, file: InputFile, offset: int, number: int, count: int
    ) -> Sequence[InputLine]:
        """Leave the task to others."""
        raise DirectoryAway("The setting registration_dir names no directory")

    async def append(self, task_id: str, kind: ReportType, size: int, added: bytes) -> int:
        """Leave the task to others."""
        raise DirectoryAway("The setting registration_dir names no directory")

    def location(self, task_id: str, kind: ReportType) -> str:
        """Return a URL that leads nowhere."""
        return f"about:blank#{task_id}-{kind.lower()}"

    async def delete_reports(self, task_id: str) -> None:
        """Leave alone what is not reached."""


class Buckets:
    """The directory of all accounts."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def are_reachable(self) -> bool:
        """Whether the directory is there now: a file system may not be mounted on this node yet, or any more."""
        return self._root.is_dir()

    def misplaced(self) -> list[str]:
        """Return the folders that belong to no account; before accounts had folders, these were the buckets."""
        names = (each.name for each in self._root.iterdir() if each.is_dir())
        return sorted(name for name in names if name != REPORTS and not _ACCOUNT.fullmatch(name))

    async def find(self, account: AccountId, bucket: str, key: str) -> InputFile:
        """Return the account's file as it is now; raise InvalidRequest if there is none that may be read."""

        def find() -> InputFile:
            with _opened(self._root, account, bucket, key) as file:
                return _described(bucket, key, file)

        try:
            return await asyncio.to_thread(find)
        except (OSError, ValueError) as error:
            # Why is not told: it would say what else there is.
            raise InvalidRequest(f"There is no file {key} in the bucket {bucket} that may be read") from error

    async def lines(
        self, account: AccountId, file: InputFile, offset: int, number: int, count: int
    ) -> Sequence[InputLine]:
        """Return up to ``count`` lines from the offset on.

        Raises TaskBroken if the file is not what it was, DirectoryAway if the account's folder is not there: the
        directory is not mounted on this node, and others may go on.
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
                raise DirectoryAway("The directory of bulk registrations is not reachable") from error
            raise TaskBroken("The input file cannot be read any more") from error

    async def append(self, task_id: str, kind: ReportType, size: int, added: bytes) -> int:
        """Make a report what it was at this size, with more behind it; return its size once that is durable.

        Raises TaskBroken if it cannot be written, DirectoryAway if the directory is not there.
        """
        if not added:
            return size
        try:
            return await asyncio.to_thread(_append, self._root, _report_name(task_id, kind), size, added)
        except OSError as error:
            if not self._root.is_dir():
                raise DirectoryAway("The directory of bulk registrations is not reachable") from error
            raise TaskBroken(f"A report cannot be written: {reason_of(error)}") from error

    def location(self, task_id: str, kind: ReportType) -> str:
        """Return where a report is, as a URL."""
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


def _append(root: Path, name: str, size: int, added: bytes) -> int:
    folder = root / REPORTS
    folder.mkdir(mode=0o750, exist_ok=True)
    descriptor = os.open(folder, _FOLDER | os.O_NOFOLLOW)
    try:
        report = os.open(name, _REPORT, 0o640, dir_fd=descriptor)
        with open(report, "r+b", buffering=0) as file:  # noqa: PTH123  a descriptor has no path
            if os.fstat(report).st_size < size:
                raise TaskBroken("A report has lost what was written to it")
            # What a crash has left behind the end that is known was not counted, and comes again.
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
