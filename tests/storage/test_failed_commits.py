"""Every operation that changes the registry happens once or not at all, wherever SQLite's disk fails."""

import itertools
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest
from tests.support.databases.faulty_disk import FaultyDisk
from tests.support.databases.stores import Timings
from tests.support.machine.soak import SOAK, examples
from tests.support.registration.bulk import write_input
from tests.support.registration.effects import Rows, Trials, judge
from tests.support.registration.mutations import MUTATIONS

from thingmint.storage.sqlite.connection import connect
from thingmint.storage.sqlite.store import open_sqlite

# Every third one, but for the long run: all of them share one writer.
_TABLES = (
    "SELECT t.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c ON c.name = 'account' WHERE t.type = 'table'"
)
CHOSEN = MUTATIONS if SOAK else MUTATIONS[::3]


@dataclass
class DiskFault:
    """One write or sync that fails, counted from the moment at which the fault is set."""

    kind: str
    error: type[apsw.Error]
    at: int
    fired: bool = field(default=False)

    def strike(self, kind: str) -> None:
        """Fail if this is the place."""
        if kind != self.kind or self.fired:
            return
        self.fired = self.at == 0
        self.at -= 1
        if self.fired:
            raise self.error("the disk fails, as the test asked")


class DiskOfOneFault(FaultyDisk):
    """A disk that works again after its fault."""

    fault: DiskFault | None = None

    def before_write(self) -> None:
        """Count the write."""
        if self.fault is not None:
            self.fault.strike("write")

    def before_sync(self) -> None:
        """Count the sync."""
        if self.fault is not None:
            self.fault.strike("sync")


@pytest.fixture
async def trials(tmp_path: Path) -> AsyncIterator[Trials]:
    disk, path = DiskOfOneFault(), tmp_path / "faulty.sqlite"
    store = await open_sqlite(path, observe=Timings(), vfs=disk.name)
    write_input(tmp_path, [{"Name": "sensor"}])

    def arm(fault: DiskFault | None) -> None:
        disk.fault = fault

    async def rows(*accounts: str) -> Rows:
        # Of the same library as the store: two of them in one process would undo each other's locks.
        with closing(connect(path, vfs=None, reader=True)) as connection:
            counted = Rows()
            for (name,) in connection.execute(_TABLES).fetchall():
                query = f"SELECT count(*) FROM {name} WHERE account IN (?, ?)"
                ((count,),) = connection.execute(query, accounts).fetchall()
                counted[str(name)] = int(str(count))
            return counted

    yield Trials(store, store, tmp_path, arm, rows)
    disk.fault = None
    await store.close()


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["write", "sync"])
@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError])
async def test_an_operation_is_done_once_or_not_at_all_wherever_the_disk_fails(
    trials: Trials, kind: str, error: type[apsw.Error]
) -> None:
    # In each run one error is tried at the even places, and the other one at the odd ones.
    first, step = examples((int(error is apsw.FullError), 2), (0, 1))
    for mutation in CHOSEN:
        await judge(trials, mutation, lambda place: DiskFault(kind, error, place), itertools.count(first, step))
