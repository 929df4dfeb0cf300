"""Owns a disk that fails on demand: a layer between SQLite and its files; knows nothing of Thingmint."""

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

import apsw


class FaultyDisk(apsw.VFS):
    """A SQLite file system whose writes and syncs raise what is set, and work otherwise."""

    def __init__(self) -> None:
        self.name = f"faulty-{token_hex(8)}"
        super().__init__(self.name, "")
        self._write_fault: type[apsw.Error] | None = None
        self._sync_fault: type[apsw.Error] | None = None
        self.faults = 0

    @contextmanager
    def failing(
        self, *, writes: type[apsw.Error] | None = None, syncs: type[apsw.Error] | None = None
    ) -> Iterator[None]:
        """Raise these errors from writes and syncs for as long as the block lasts."""
        self._write_fault, self._sync_fault = writes, syncs
        try:
            yield
        finally:
            self._write_fault = self._sync_fault = None

    def before_write(self) -> None:
        """Raise the fault of writes, if one is set."""
        self._raise(self._write_fault)

    def before_sync(self) -> None:
        """Raise the fault of syncs, if one is set."""
        self._raise(self._sync_fault)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802  SQLite's name
        """Open a file whose writes pass here."""
        return _FaultyFile(self, name, flags)

    def _raise(self, fault: type[apsw.Error] | None) -> None:
        if fault is not None:
            self.faults += 1
            raise fault("the disk fails, as the test asked")


class _FaultyFile(apsw.VFSFile):
    def __init__(self, disk: FaultyDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  SQLite's name
        self._disk.before_write()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  SQLite's name
        self._disk.before_sync()
        super().xSync(flags)
