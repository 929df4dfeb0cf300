"""A database from before the log: its entries become leaves in the order of their positions, and nothing else waits."""

from pathlib import Path

import apsw
from tests.support.databases.log import log_on, root_in_order, sequenced, state_of, verified
from tests.support.databases.stores import Timings

from thingmint.registration.log.reading import head_of
from thingmint.registration.log.sequencing import LEAVES_OF_A_PASS, sequence
from thingmint.storage.schema import migrations
from thingmint.storage.sqlite.connection import create
from thingmint.storage.sqlite.store import open_sqlite

ENTRY = (
    "INSERT INTO audit (at, account, region, principal_arn, source_address, request_id, action, resource, detail) "
    "VALUES (?, '123456789012', 'eu-central-1', 'operator', '', '', 'CreateThing', 'lamp', '{\"name\":\"lamp\"}')"
)

(LOG,) = (each for each in migrations() if each.name == "log")
BEFORE = tuple(each for each in migrations() if each.version < LOG.version)


async def test_old_entries_become_leaves_in_slices_that_a_restart_goes_on_with(tmp_path: Path) -> None:
    path, count = tmp_path / "old.sqlite", 3 * LEAVES_OF_A_PASS
    create(path, BEFORE, vfs=None)
    database = apsw.Connection(str(path))
    with database:
        for number in range(count):
            database.execute(ENTRY, (count - number,))
        database.execute("DELETE FROM audit WHERE position % 7 = 0")
        left = database.execute("SELECT count(*) FROM audit").fetchone()
    database.close()

    store = await open_sqlite(path, observe=Timings())
    log = await log_on(store)
    assert (await state_of(store)).size == 0
    await store.write(lambda: sequence(log))
    assert (await state_of(store)).size == LEAVES_OF_A_PASS
    await store.close()

    again = await open_sqlite(path, observe=Timings())
    log = await log_on(again)
    state = await sequenced(again, log)
    assert (state.size,) == left
    assert head_of(state).root == await root_in_order(again, log, count)
    assert (await verified(again, log)).findings == []
    await again.close()
