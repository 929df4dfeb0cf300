"""The order of leaves: each entry has one place, whoever gives it, whatever fails meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest
from tests.support.databases.log import (
    append,
    execute,
    issued,
    log_on,
    root_in_order,
    sequenced,
    state_of,
    verified,
)
from tests.support.databases.stores import Timings

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.transparency.growing_tree import TreeDamaged
from thingmint.core.transparency.tiles import TILE_WIDTH
from thingmint.records.log.entries import gaps
from thingmint.records.log.state import newest_position
from thingmint.records.log.tiles import index_of_entry
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.reading import head_of
from thingmint.registration.log.sequencing import LEAVES_OF_A_PASS, Sequencer, SequencingResult, sequence, sequence_all
from thingmint.storage import open_store

COUNT = 2 * LEAVES_OF_A_PASS + 77


async def until(holds: Callable[[], bool]) -> None:
    """Let others work until it holds."""
    while not holds():  # noqa: ASYNC110  what is waited for tells nobody
        await asyncio.sleep(0.01)


async def test_entries_get_their_places_in_the_order_of_their_positions(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(COUNT))
    state = await sequenced(store, log)
    assert state.size == COUNT
    assert head_of(state).root == await root_in_order(store, log, COUNT)
    assert (await verified(store, log)).findings == []


async def test_a_tree_that_grew_in_small_passes_is_the_same(store: Store) -> None:
    log = await log_on(store)
    for first in (0, 1, 2, 255, 256, 300):
        await append(store, range(first, first + 3))
        await sequence_all(store, log)
    state = await state_of(store)
    assert head_of(state).root == await root_in_order(store, log, 18)


async def test_a_pass_takes_a_bounded_number_of_entries(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(COUNT))
    passed = await store.write(lambda: sequence(log))
    assert passed == SequencingResult(LEAVES_OF_A_PASS, LEAVES_OF_A_PASS)
    assert passed.is_behind


async def test_a_pass_without_new_entries_changes_nothing(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(3))
    before = await sequenced(store, log)
    assert await store.write(lambda: sequence(log)) == SequencingResult(0, 3)
    assert await state_of(store) == before


async def test_every_node_continues_the_tree_and_no_entry_has_two_places(
    database_url: str | None, store: Store, tmp_path: Path
) -> None:
    others = [await open_store(database_url, tmp_path, observe=Timings()) for _ in range(2)]
    logs = [await log_on(each) for each in (store, *others)]
    seen = list[int]()
    works = [
        asyncio.create_task(Sequencer(each, log, lambda size, _seconds: seen.append(size), 0.001).run())
        for each, log in zip((store, *others), logs, strict=True)
    ]

    async def write(node: Store, first: int) -> None:
        for number in range(first, first + 100, 5):
            await append(node, range(number, number + 5))

    nodes = (store, *others)
    await asyncio.gather(*(write(nodes[number % 3], number * 100) for number in range(6)))
    await until(lambda: 600 in seen)
    for work in works:
        work.cancel()
    await asyncio.gather(*works, return_exceptions=True)
    result = await verified(store, logs[0])
    assert result.findings == []
    assert result.head.size == 600
    for other in others:
        await other.close()


async def test_issuance_is_in_the_log_with_its_change(store: Store) -> None:
    log = await log_on(store)
    await issued(store, 3)
    state = await sequenced(store, log)
    result = await verified(store, log)
    assert (state.size, result.certificates, result.findings) == (3, 3, [])


@pytest.mark.parametrize(
    "damage", ["DELETE FROM log_tile", "UPDATE log_tile SET hashes = $1", "DELETE FROM log_bundle"]
)
async def test_a_tree_that_was_damaged_is_not_continued(store: Store, damage: str) -> None:
    log = await log_on(store)
    await append(store, range(3))
    before = await sequenced(store, log)
    await execute(store, damage, *([bytes(32)] if "$1" in damage else []))
    await append(store, range(3, 6))
    with pytest.raises(TreeDamaged):
        await store.write(lambda: sequence(log))
    assert await state_of(store) == before


class FailingStore:
    """A store whose writes fail until they are allowed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fails, self.failures = True, 0
        self.read, self.check, self.close = store.read, store.check, store.close

    async def write(self, program):  # type: ignore[no-untyped-def]  # it has the type of the store's own
        if self.fails:
            self.failures += 1
            raise ServiceUnavailable
        return await self._store.write(program)


async def test_the_work_of_a_node_goes_on_after_a_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("thingmint.registration.log.sequencing._PAUSE_AFTER_FAILURE_SECONDS", 0.01)
    log, failing, seen = await log_on(store), FailingStore(store), list[int]()
    await append(store, range(COUNT))
    work = asyncio.create_task(Sequencer(failing, log, lambda size, _seconds: seen.append(size), 0.01).run())
    await until(lambda: failing.failures > 1)
    failing.fails = False
    await until(lambda: COUNT in seen)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert seen == [LEAVES_OF_A_PASS, 2 * LEAVES_OF_A_PASS, COUNT]
    assert "the log cannot be continued yet: ServiceUnavailable" in caplog.text


async def test_there_is_nothing_to_do_before_the_log_is_begun(store: Store) -> None:
    log = await log_on(store)
    await execute(store, "DELETE FROM log_state")
    assert await store.write(lambda: sequence(log)) is None
    await append(store, range(1))
    await sequence_all(store, log)


# On PostgreSQL transactions overlap, and an entry can appear after others that have a later position.

LATE_ENTRY = (
    "INSERT INTO audit (at, account, region, principal_arn, source_address, request_id, action, resource, detail) "
    "VALUES (1, '123456789012', 'eu-central-1', 'late', '', '', 'CreateThing', 'late', '{}') RETURNING position"
)


@contextlib.asynccontextmanager
async def postgresql_store(url: str, folder: Path) -> AsyncIterator[Store]:
    opened = await open_store(url, folder, observe=Timings())
    yield opened
    await opened.close()


async def test_an_entry_that_appears_late_gets_a_later_place(migrated_postgresql_url: str, tmp_path: Path) -> None:
    async with postgresql_store(migrated_postgresql_url, tmp_path) as store:
        log, other = await log_on(store), await asyncpg.connect(migrated_postgresql_url)
        transaction = other.transaction()
        await transaction.start()
        position = await other.fetchval(LATE_ENTRY)
        await append(store, range(5))
        assert (await sequenced(store, log)).size == 5
        assert list(await store.read(gaps)) == [position]
        assert (await verified(store, log)).findings == []
        await transaction.commit()
        await other.close()
        assert (await verified(store, log)).waiting == 1
        assert (await sequenced(store, log)).size == 6
        assert await store.read(lambda: index_of_entry(position)) == 5
        assert list(await store.read(gaps)) == []
        assert (await verified(store, log)).findings == []


async def test_a_position_of_an_undone_transaction_is_given_up_once_no_other_can_have_it(
    migrated_postgresql_url: str, tmp_path: Path
) -> None:
    async with postgresql_store(migrated_postgresql_url, tmp_path) as store:
        log, other, open_one = await log_on(store), *[await asyncpg.connect(migrated_postgresql_url) for _ in range(2)]
        with contextlib.suppress(ZeroDivisionError):
            async with other.transaction():
                await other.fetchval(LATE_ENTRY)
                raise ZeroDivisionError
        held = open_one.transaction()
        await held.start()
        await open_one.execute("CREATE TABLE takes_a_number (id BIGINT)")
        await append(store, range(2))
        await sequence_all(store, log)
        assert len(await store.read(gaps)) == 1
        await execute(store, "UPDATE log_gap SET noted_at = noted_at - 10000001")
        # The first pass notes which transactions are open, and gives the position up as soon as they have ended.
        for _ in range(3):
            await store.write(lambda: sequence(log))
            assert len(await store.read(gaps)) == 1
        await held.rollback()
        await store.write(lambda: sequence(log))
        assert list(await store.read(gaps)) == []
        await other.close()
        await open_one.close()


async def test_a_leap_of_positions_is_not_searched_in_full(migrated_postgresql_url: str, tmp_path: Path) -> None:
    async with postgresql_store(migrated_postgresql_url, tmp_path) as store:
        log = await log_on(store)
        await append(store, range(1))
        await execute(store, "ALTER TABLE audit ALTER COLUMN position RESTART WITH 1000000")
        await append(store, range(1, 3))
        assert (await sequenced(store, log)).size == 3
        assert len(await store.read(gaps)) <= 10_000


async def test_a_node_leaves_the_log_to_another_one_that_holds_it(migrated_postgresql_url: str, tmp_path: Path) -> None:
    async with (
        postgresql_store(migrated_postgresql_url, tmp_path) as store,
        postgresql_store(migrated_postgresql_url, tmp_path) as other,
    ):
        log = await log_on(store)
        await append(store, range(TILE_WIDTH))
        connection = await asyncpg.connect(migrated_postgresql_url)
        async with connection.transaction():
            await connection.execute("SELECT * FROM log_state FOR UPDATE")
            assert await other.write(lambda: sequence(log)) is None
            seen = list[int]()
            work = asyncio.create_task(Sequencer(other, log, lambda size, _seconds: seen.append(size), 0.001).run())
            await asyncio.sleep(0.1)
            assert seen == []
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        assert await other.write(lambda: sequence(log)) == SequencingResult(TILE_WIDTH, TILE_WIDTH)
        await connection.close()


async def test_a_gap_that_was_copied_from_another_engine_is_closed_by_its_entry(store: Store) -> None:
    log = await log_on(store)
    await append(store, range(2))
    await sequenced(store, log)
    # A backup had seen a later position than that of an entry without a leaf.
    await append(store, range(2, 3))
    position = await store.read(newest_position)
    await execute(store, "UPDATE log_state SET position = $1", position)
    await execute(store, "INSERT INTO log_gap (position, noted_at) VALUES ($1, 0)", position)
    assert (await sequenced(store, log)).size == 3
    assert await store.read(gaps) == []
