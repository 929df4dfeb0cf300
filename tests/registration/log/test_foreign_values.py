"""Values that somebody has written into a SQLite file by hand: of another type, cut, or not UTF-8."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.support.databases.log import append, execute, issued, log_on, sequenced

from thingmint.core.transparency.checkpoint import CheckpointInvalid
from thingmint.issuance.keys.log_signature import is_signed
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.identity import LogIdentity
from thingmint.registration.log.verification import RowsUnreadable, verify_store
from thingmint.registration.log.verified import Evidence, Verified
from thingmint.storage import open_store

VALUES = {
    "bytes": "x'ff00'",
    "text": "'x'",
    "not UTF-8": "CAST(x'ff' AS TEXT)",
    "negative": "-1",
    "largest": "9223372036854775807",
    "fraction": "1.5",
    "NUL": "'a' || char(0)",
    "empty": "''",
}
# The column, and the first characters of what names its row.
COLUMNS = {
    "audit.at": "audit entry 1",
    "audit.region": "audit entry 1",
    "audit.source_address": "audit entry 1",
    "audit.resource": "audit entry 1",
    "audit.detail": "audit entry 1",
    "certificate.status": "certificate",
    "certificate.issuer_id": "certificate",
    "certificate.der": "certificate",
    "log_tile.number": "log_tile",
    "log_tile.hashes": "log_tile",
    "log_bundle.number": "log_bundle",
    "log_bundle.positions": "log_bundle",
    "log_state.public_key": "log_state",
    "log_state.size": "log_state",
    "log_state.position": "log_state",
}
AT_FIRST = "(SELECT min(rowid) FROM {0})"


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(None, tmp_path, observe=lambda _kind, _seconds: None)
    yield opened
    await opened.close()


async def verified(store: Store, log: LogIdentity) -> Verified:
    return await verify_store(store, Evidence(log.salt_secret, is_signed))


@pytest.mark.parametrize("column", COLUMNS)
async def test_a_row_with_a_foreign_value_is_named(sqlite_store: Store, column: str) -> None:
    log = await log_on(sqlite_store)
    await issued(sqlite_store, 2)
    await append(sqlite_store, range(298))
    await sequenced(sqlite_store, log)
    table, _, name = column.partition(".")
    where = f"rowid = {AT_FIRST.format(table)}"
    await execute(sqlite_store, f"CREATE TABLE kept AS SELECT {name} FROM {table} WHERE {where}")
    for value in VALUES.values():
        await execute(sqlite_store, f"UPDATE {table} SET {name} = {value} WHERE {where}")
        try:
            named = (await verified(sqlite_store, log)).findings
        except CheckpointInvalid:
            # The key of the log is in its row.
            named = ["log_state"]
        except RowsUnreadable as error:
            named = str(error).splitlines()
        assert any(COLUMNS[column] in text for text in named), (value, named)
        await execute(sqlite_store, f"UPDATE {table} SET {name} = (SELECT {name} FROM kept) WHERE {where}")
    assert (await verified(sqlite_store, log)).findings == []


async def test_an_entry_without_a_leaf_that_cannot_be_read_is_named(sqlite_store: Store) -> None:
    log = await log_on(sqlite_store)
    await append(sqlite_store, range(3))
    await sequenced(sqlite_store, log)
    await append(sqlite_store, range(3, 4))
    await execute(sqlite_store, "UPDATE audit SET resource = x'00' WHERE position = 4")
    assert (await verified(sqlite_store, log)).findings == [
        "audit entry 4: was changed: it has values that the service never writes"
    ]


async def test_many_foreign_values_are_named_up_to_a_limit(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thingmint.registration.log.verification.MAX_FINDINGS", 3)
    log = await log_on(sqlite_store)
    await append(sqlite_store, range(10))
    await sequenced(sqlite_store, log)
    await execute(sqlite_store, "UPDATE audit SET detail = CAST(x'ff' AS TEXT)")
    with pytest.raises(RowsUnreadable) as raised:
        await verified(sqlite_store, log)
    assert str(raised.value).splitlines() == [
        f"audit entry {number}: was changed: detail is not UTF-8" for number in (1, 2, 3)
    ]


async def test_a_certificate_of_another_issuer_has_no_foreign_value(sqlite_store: Store) -> None:
    log = await log_on(sqlite_store)
    await issued(sqlite_store, 2)
    await sequenced(sqlite_store, log)
    await execute(sqlite_store, "UPDATE certificate SET issuer_id = NULL")
    await execute(sqlite_store, "UPDATE audit SET detail = CAST(x'ff' AS TEXT) WHERE position = 1")
    with pytest.raises(RowsUnreadable) as raised:
        await verified(sqlite_store, log)
    assert str(raised.value).splitlines() == ["audit entry 1: was changed: detail is not UTF-8"]


async def test_a_log_without_its_bundles_is_not_whole(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(3))
    await sequenced(store, log)
    await execute(store, "DELETE FROM log_bundle")
    assert (await verified(store, log)).findings != []


async def test_other_errors_are_not_hidden(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(3))
    await sequenced(store, log)
    await execute(store, "UPDATE log_state SET checkpoint = 'nothing'")
    with pytest.raises(CheckpointInvalid, match="is not a checkpoint"):
        await verified(store, log)


async def test_the_log_goes_on_after_an_entry_that_was_changed_by_hand(sqlite_store: Store) -> None:
    log = await log_on(sqlite_store)
    await append(sqlite_store, range(3))
    await execute(sqlite_store, "UPDATE audit SET region = 'a' || char(31) || 'b' WHERE position = 2")
    assert (await sequenced(sqlite_store, log)).size == 3
    assert (await verified(sqlite_store, log)).findings == [
        "audit entry 2: was changed: leaf 1 of the log has another hash"
    ]
