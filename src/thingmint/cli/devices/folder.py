"""Owns the output folder of devices from a list: its files, the order of writes, and the recovery after a crash.

For each device, the run writes first the private key, durably in `work/` before any request has its public key; then
every other file; then a line of the journal. At last it renames the key. A device with a line in the journal is
complete, also after a crash. The next run uses a key without a line again.
"""

import contextlib
import io
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from thingmint.cli.devices.formats import FileOf
from thingmint.cli.devices.manifest import (
    ERRORS_CSV,
    MANIFEST_CSV,
    MANIFEST_JSON_LINES,
    DeviceEntry,
    as_csv,
    as_json_lines,
)
from thingmint.cli.issuing.folder import JOB_FILE, FolderRefused, held_folder
from thingmint.cli.terminal.tables import table
from thingmint.core.error_text import in_words
from thingmint.data_directory.files import make_directory, remove_leftovers, sync_directory, write_durably

JOURNAL, WORK = "journal.jsonl", "work"
REQUEST = ".csr"
_KIND, _VERSION = "devices", 1


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that must be the same in every run of a job."""

    status: str
    key_type: str | None
    formats: tuple[str, ...]
    name: str
    batch: str | None = None
    operator: str | None = None
    station: str | None = None
    template_sha256: str | None = None
    recipient_sha256: str | None = None
    for_import: bool = False


class DeviceJob(msgspec.Struct, frozen=True, kw_only=True):
    """The order, and the service of its first run."""

    order: Order
    trust_anchor_sha256: str | None = None
    arn_prefix: str | None = None
    kind: str = _KIND
    version: int = _VERSION


class DeviceFolder:
    """The files of one job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._journal: io.FileIO | None = None
        self._written = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder for this process; raise FolderRefused if another run uses it."""
        with held_folder(self.path):
            try:
                yield
            finally:
                if self._journal is not None:
                    self._journal.close()
                    self._journal = None

    def begin(self, order: Order, trust_anchor_sha256: str | None) -> DeviceJob:
        """Return the job of the folder, or record a new one; raise FolderRefused if the folder has another job."""
        job = self._read_job()
        if job is None:
            job = DeviceJob(order=order, trust_anchor_sha256=trust_anchor_sha256)
            self.write_job(job)
        for name in Order.__struct_fields__:
            if (before := getattr(job.order, name)) != (now := getattr(order, name)):
                raise FolderRefused(f"the job in {self.path} was begun with {name} {before!r}, not {now!r}")
        make_directory(self.path / WORK)
        remove_leftovers(self.path / WORK)
        return job

    def _read_job(self) -> DeviceJob | None:
        try:
            content = (self.path / JOB_FILE).read_bytes()
            read = msgspec.json.decode(content, type=dict[str, object])
            if read.get("kind") != _KIND:
                raise FolderRefused(f"{self.path} belongs to a run that issued by --count: choose another folder")
            if read.get("version") != _VERSION:
                raise FolderRefused(f"{self.path / JOB_FILE} was written by another version of Thingmint")
            return msgspec.json.decode(content, type=DeviceJob)
        except FileNotFoundError:
            if any(self.path.iterdir()):
                raise FolderRefused(f"{self.path} holds files but no {JOB_FILE}: choose another folder") from None
            return None
        except msgspec.DecodeError as error:
            raise FolderRefused(f"{self.path / JOB_FILE} cannot be read: {in_words(error)}") from error

    def write_job(self, job: DeviceJob) -> None:
        """Record the job durably."""
        write_durably(self.path / JOB_FILE, msgspec.json.format(msgspec.json.encode(job)) + b"\n", 0o600)

    def open_journal(self) -> dict[str, DeviceEntry]:
        """Open the journal for appending and return the complete devices by name; remove a truncated last line."""
        path = self.path / JOURNAL
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        try:
            entries = [msgspec.json.decode(line, type=DeviceEntry) for line in whole.splitlines()]
        except msgspec.DecodeError as error:
            raise FolderRefused(f"{path} cannot be read: {in_words(error)}") from error
        self._journal = io.FileIO(path, "a")
        self._journal.truncate(len(whole))
        self._written = len(whole)
        sync_directory(self.path)
        return {entry.thing: entry for entry in entries}

    def staged_key(self, thing: str, ending: str) -> Path:
        """Return the path of a private key until its device is complete."""
        return self.path / WORK / f"{thing}{ending}"

    def stage(self, thing: str, ending: str, content: bytes) -> None:
        """Write durably what must exist before the request is sent: a private key, or its CSR."""
        write_durably(self.staged_key(thing, ending), content, 0o600)

    def staged(self, thing: str, ending: str) -> bytes | None:
        """Return the staged content, None if there is none."""
        try:
            return self.staged_key(thing, ending).read_bytes()
        except FileNotFoundError:
            return None

    def deliver(self, stem: str, files: list[FileOf]) -> None:
        """Write the files of a device durably; raise FolderRefused if one exists with other content."""
        for file in files:
            path = self.path / f"{stem}{file.ending}"
            write_durably(path, file.content, file.mode)

    def complete(self, entry: DeviceEntry) -> None:
        """Add a device to the journal durably; the device is then complete."""
        line = msgspec.json.encode(entry) + b"\n"
        with self._lock:
            assert self._journal is not None, "the journal is open while the folder is held"
            try:
                _write_whole(self._journal, line)
                os.fsync(self._journal.fileno())
            except OSError:
                # Remove the incomplete line, so that the next one does not follow it.
                with contextlib.suppress(OSError):
                    self._journal.truncate(self._written)
                raise
            self._written += len(line)

    def name_key(self, thing: str, staged_ending: str, delivered: str) -> None:
        """Rename a staged key to its delivered name; do nothing if it has that name."""
        with contextlib.suppress(FileNotFoundError):
            self.staged_key(thing, staged_ending).rename(self.path / delivered)
        self.staged_key(thing, REQUEST).unlink(missing_ok=True)

    def forget(self, thing: str, staged_ending: str) -> None:
        """Remove a staged key that is not needed any more."""
        self.staged_key(thing, staged_ending).unlink(missing_ok=True)
        self.staged_key(thing, REQUEST).unlink(missing_ok=True)

    def write_manifest(self, entries: list[DeviceEntry], refused: Sequence[tuple[int, str, str]]) -> None:
        """Write the manifest of all complete devices, and the list of rows that were refused; both replace old ones."""
        ordered = sorted(entries, key=lambda entry: (entry.line, entry.thing))
        sync_directory(self.path)
        write_durably(self.path / MANIFEST_JSON_LINES, as_json_lines(ordered), 0o644)
        write_durably(self.path / MANIFEST_CSV, as_csv(ordered), 0o644)
        if refused:
            write_durably(self.path / ERRORS_CSV, table(("line", "thing", "error"), sorted(refused)), 0o644)
        else:
            (self.path / ERRORS_CSV).unlink(missing_ok=True)


def _write_whole(file: io.FileIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]
