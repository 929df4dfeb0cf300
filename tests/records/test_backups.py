"""The row about the last backup: that of the backup that began last."""

from datetime import UTC, datetime, timedelta

from tests.support.databases.memory_store import MemoryStore

from thingmint.records.backups import LastBackup, last_backup, note_backup

BEGAN = datetime(2027, 1, 1, tzinfo=UTC)
FIRST = LastBackup(BEGAN, BEGAN + timedelta(hours=2), 5)
SECOND = LastBackup(BEGAN + timedelta(hours=1), BEGAN + timedelta(hours=1, minutes=1), 6)


async def test_the_backup_that_began_last_is_kept() -> None:
    store = MemoryStore()
    assert await store.read(last_backup) is None
    for made in (FIRST, SECOND, FIRST):
        await store.write(lambda made=made: note_backup(made))  # type: ignore[misc]  # the default binds the value
    assert await store.read(last_backup) == SECOND
