"""What is kept for a while takes no more room the longer a service runs: changes for nodes, pruned audit entries."""

from functools import partial

import pytest
from tests.support.databases.log import append, log_on, sequenced
from tests.support.databases.stores import CREATED_AT, sample_audit_entry
from tests.support.machine.soak import SOAK, examples

from thingmint.records import changes as change_table
from thingmint.records.changes import record_change
from thingmint.records.columns import column_of_time
from thingmint.records.statement import row_of
from thingmint.records.steps import Steps
from thingmint.registration.kernel.changes import changes_from, prune_changes
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.pruning import prunable, prune
from thingmint.storage.sqlite.store import SQLiteStore

ROUNDS, CHANGES = examples((4, 60), (60, 10_000))
BUNDLE = 256
AFTER_ALL = column_of_time(CREATED_AT) + 10**15


async def count(store: Store, table: str) -> int:
    row = await store.read(partial(row_of, f"SELECT count(*) FROM {table}"))
    assert row is not None
    return int(row[0])


async def room(store: Store) -> int | None:
    """Return the bytes of all pages of SQLite; of PostgreSQL, autovacuum decides when dead rows are removed."""
    if not isinstance(store, SQLiteStore):
        return None
    pages = await store.read(partial(row_of, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"))
    assert pages is not None
    return int(pages[0])


def changes(first: int) -> Steps[None]:
    for number in range(first, first + CHANGES):
        yield from record_change(f"arn:aws:iot:us-east-1:000000000000:thing/thing-{number}")


@pytest.mark.soak
async def test_changes_and_pruned_entries_take_no_more_room_with_time(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not SOAK:
        if not isinstance(store, SQLiteStore):
            pytest.skip("only in the long form: thousands of statements, one after the other")
        monkeypatch.setattr(change_table, "KEPT_CHANGES", 80)
        monkeypatch.setattr(change_table, "_UNPRUNED", 20)
    most_changes = change_table.KEPT_CHANGES + change_table._UNPRUNED + CHANGES
    log = await log_on(store)
    sizes = []
    for number in range(ROUNDS):
        await store.write(partial(changes, number * CHANGES))
        await append(store, range(number * BUNDLE, (number + 1) * BUNDLE))
        await sequenced(store, log)
        await changes_from(store, None)
        await prune_changes(store)
        assert await count(store, "registry_change") <= most_changes
        bundles = await prunable(store, AFTER_ALL)
        await prune(store, bundles, sample_audit_entry(1_000_000 + number))
        # The last bundle that is not full, with the entries that tell of the pruning.
        assert await count(store, "audit") < BUNDLE
        sizes.append(await room(store))
    settled, last = sizes[ROUNDS // 2], sizes[-1]
    if settled is not None and last is not None:
        # Tiles of the log stay for ever: 32 bytes of each leaf, and what the tree adds.
        assert last <= settled + 48 * BUNDLE * (ROUNDS - ROUNDS // 2) + 64 * 1024, sizes
