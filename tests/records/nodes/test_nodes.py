"""The tables of nodes, their messages and connections, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.databases.stores import OTHER_SCOPE, SCOPE, Timings

from thingmint.core.identifiers import CertificateId, Scope
from thingmint.records import changes as change_table
from thingmint.records.certificates.ca_certificates import insert_registration_code
from thingmint.records.changes import place_messages
from thingmint.records.clock import postgresql_time
from thingmint.records.columns import column_of_time
from thingmint.records.nodes import connections as connection_table
from thingmint.records.nodes import messages as message_table
from thingmint.records.nodes import nodes as node_table
from thingmint.records.nodes.connections import ConnectionRow, DisplacedConnection, EndingRow
from thingmint.records.nodes.messages import NewMessage
from thingmint.records.steps import Steps
from thingmint.registration.kernel.changes import changes_from, prune_changes
from thingmint.registration.kernel.ports import Store
from thingmint.storage import open_store

CERTIFICATE = CertificateId("a" * 64)


@pytest.fixture
async def store(migrated_postgresql_url: str, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await open_store(migrated_postgresql_url, tmp_path, observe=Timings())
    yield opened
    await opened.close()


async def add(store: Store, *node_ids: str) -> None:
    for node_id in node_ids:
        await store.write(lambda each=node_id: node_table.add_node(each, f"name of {each}", "1", "local", "{}"))  # type: ignore[misc]  # mypy cannot infer a lambda with a default


async def row(
    store: Store,
    session: str,
    node: str,
    client: str = "lamp",
    age: float = 0.0,
    will: bytes | None = None,
    delay: int = 0,
) -> ConnectionRow:
    now = await store.read(postgresql_time)
    opened_at = column_of_time(now - timedelta(seconds=age))
    return ConnectionRow(session, node, SCOPE, client, CERTIFICATE, opened_at, b"{}", will, delay)


async def enter(store: Store, *rows: ConnectionRow) -> tuple[list[DisplacedConnection], dict[str, bool]]:
    displaced, entered = await store.write(lambda: connection_table.open_connections(rows))
    return list(displaced), entered


async def current(store: Store, client: str = "lamp", scope: Scope = SCOPE) -> str | None:
    found = await store.read(lambda: connection_table.current_connection(scope, client))
    return None if found is None else found.session_id


async def test_a_node_is_entered_seen_and_removed_by_one_other_only_if_it_stays_silent(store: Store) -> None:
    await add(store, "one", "two")
    one, two = await store.read(node_table.nodes)
    assert (one.node_id, one.name, one.version, one.data_plane, one.settings) == (
        "one",
        "name of one",
        "1",
        "local",
        "{}",
    )
    assert await store.write(lambda: node_table.heartbeat("two", 0))
    assert not await store.write(lambda: node_table.remove_silent(two))
    removed = await asyncio.gather(*(store.write(lambda: node_table.remove_silent(one)) for _ in range(3)))
    assert sorted(removed) == [False, False, True]
    assert not await store.write(lambda: node_table.heartbeat("one", 0))
    await store.write(lambda: node_table.remove_node("two"))
    assert await store.read(node_table.nodes) == []


async def test_messages_are_read_in_one_order_by_whom_they_are_for_until_all_have_read_them(store: Store) -> None:
    await add(store, "one", "two")
    await store.write(lambda: message_table.add_messages([]))
    to_all = [NewMessage(None, "one", "event", SCOPE, f"subject-{number}", b"x") for number in range(3)]
    await store.write(lambda: message_table.add_messages([*to_all, NewMessage("two", "one", "ask", OTHER_SCOPE, "s")]))
    found = await store.read(lambda: message_table.messages_from(1, "two", 10))
    assert (found.has_unplaced, found.messages) == (True, [])
    await store.write(place_messages)
    for node, count in (("one", 3), ("two", 4)):
        found = await store.read(lambda node=node: message_table.messages_from(1, node, 10))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        assert (found.has_unplaced, len(found.messages), found.following) == (False, count, 5)
    asked = found.messages[-1]
    assert (asked.origin, asked.kind, asked.scope, asked.subject, asked.body) == ("one", "ask", OTHER_SCOPE, "s", b"")
    page = await store.read(lambda: message_table.messages_from(2, "two", 2))
    assert ([each.position for each in page.messages], page.following) == ([2, 3], 4)
    assert (await store.read(lambda: message_table.messages_from(None, "two", 2))).following == 5

    for node, read_to, left in (("one", 5, 4), ("two", 3, 2), ("two", 5, 1)):
        await store.write(lambda node=node, read_to=read_to: node_table.heartbeat(node, read_to))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        await store.write(node_table.prune_messages)
        found = await store.read(lambda: message_table.messages_from(1, "two", 10))
        assert len(found.messages) == left


async def test_any_number_of_messages_and_changes_is_placed_and_deleted_in_portions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_table, "MOST_AT_ONCE", 3)
    monkeypatch.setattr(node_table, "MOST_AT_ONCE", 3)
    await add(store, "one")
    messages = [NewMessage(None, "one", "event", SCOPE, f"subject-{number}", b"x") for number in range(8)]
    await store.write(lambda: message_table.add_messages(messages))
    portions = [await store.write(place_messages) for _ in range(3)]
    assert portions == [True, True, False]
    found = await store.read(lambda: message_table.messages_from(1, "one", 10))
    assert [each.subject for each in found.messages] == [each.subject for each in messages]
    await store.write(lambda: node_table.heartbeat("one", 9))
    left = list[int]()
    for _ in range(3):
        await store.write(node_table.prune_messages)
        left.append(len((await store.read(lambda: message_table.messages_from(1, "one", 10))).messages))
    assert left == [5, 2, 1]

    start = (await changes_from(store, None)).stamp
    names = [f"change-{number}" for number in range(8)]

    def several() -> Steps[None]:
        for name in names:
            yield from change_table.record_change(name)

    await store.write(several)
    assert (await changes_from(store, start)).resources == frozenset(names)
    monkeypatch.setattr(change_table, "KEPT_CHANGES", 2)
    monkeypatch.setattr(change_table, "_UNPRUNED", 0)
    await prune_changes(store)
    kept = await store.read(lambda: change_table.changes_from(0, 10))
    assert list(kept.resources) == names[-3:]


async def test_the_newest_connection_of_a_client_is_current_whoever_is_written_first(store: Store) -> None:
    await add(store, "one", "two")
    older, newer = await row(store, "s1", "one", age=5), await row(store, "s2", "two", age=1)
    assert await enter(store, newer) == ([], {"s2": True})
    assert await enter(store, older) == ([], {"s1": False})
    newest = await row(store, "s3", "one")
    assert await enter(store, newest) == ([DisplacedConnection("two", "s2", SCOPE, "lamp")], {"s3": True})
    assert await enter(store, newest) == ([], {"s3": True})
    assert await current(store) == "s3"
    assert await current(store, scope=OTHER_SCOPE) is None


async def test_a_connection_that_was_dated_before_the_clock_was_set_back_gives_way(store: Store) -> None:
    await add(store, "one", "two")
    await enter(store, await row(store, "s1", "one", age=-600))
    displaced, entered = await enter(store, await row(store, "s2", "two"))
    assert ([each.session_id for each in displaced], entered) == (["s1"], {"s2": True})


async def test_of_nodes_that_enter_the_same_clients_at_once_one_has_each(store: Store) -> None:
    await add(store, "one", "two", "three")
    rows = [
        [await row(store, f"{node}-{number}", node, f"client-{number}", age=1) for number in order]
        for node, order in (("one", range(40)), ("two", reversed(range(40))), ("three", range(40)))
    ]
    waiting = {each.session_id: each for batch in rows for each in batch}
    while waiting:
        batches = [[each for each in batch if each.session_id in waiting] for batch in rows]
        for _, entered in await asyncio.gather(*(enter(store, *batch) for batch in batches if batch)):
            for session_id in entered:
                waiting.pop(session_id, None)
    for number in range(40):
        assert await current(store, f"client-{number}") is not None


async def test_a_connection_of_a_lost_node_is_taken_once_with_its_will(store: Store) -> None:
    await add(store, "one", "two")
    await enter(store, await row(store, "s1", "one", will=b"will"), await row(store, "s2", "two", "other"))
    assert await store.read(lambda: connection_table.orphans(10)) == []
    assert await store.write(lambda: connection_table.take_orphan("s1")) is None
    await store.write(lambda: node_table.remove_node("one"))
    assert await current(store) is None
    [orphan] = await store.read(lambda: connection_table.orphans(10))
    assert (orphan.session_id, orphan.will, orphan.client_id) == ("s1", b"will", "lamp")
    taken = await asyncio.gather(*(store.write(lambda: connection_table.take_orphan("s1")) for _ in range(3)))
    assert sorted(taken, key=str) == [None, None, True]


async def test_a_will_that_is_kept_back_is_gone(store: Store) -> None:
    await add(store, "one")
    await enter(store, await row(store, "s1", "one", will=b"will"))
    await store.write(lambda: connection_table.keep_back_will("s1"))
    await store.write(lambda: node_table.remove_node("one"))
    assert await store.write(lambda: connection_table.take_orphan("s1")) is False


async def test_a_will_with_a_delay_waits_for_its_time_and_not_if_its_client_is_back(store: Store) -> None:
    await add(store, "one", "two")
    await enter(
        store,
        await row(store, "s1", "one", will=b"will", delay=60, age=1),
        await row(store, "s2", "one", "b", 1, b"w", 1),
    )
    await store.write(lambda: node_table.remove_node("one"))
    now = column_of_time(await store.read(postgresql_time))
    assert await store.write(lambda: connection_table.await_will("s1", now + 60_000_000))
    assert not await store.write(lambda: connection_table.await_will("s1", now))
    assert await store.write(lambda: connection_table.await_will("s2", now - 1))
    assert [each.session_id for each in await store.read(lambda: connection_table.orphans(10))] == ["s2"]
    await enter(store, await row(store, "s3", "two"))
    assert [each.session_id for each in await store.read(lambda: connection_table.orphans(10))] == ["s1", "s2"]
    assert await store.write(lambda: connection_table.take_orphan("s1")) is False


async def test_the_end_of_a_connection_of_a_deleted_account_is_not_remembered(store: Store) -> None:
    await add(store, "one")
    await enter(store, await row(store, "s1", "one"))
    await store.write(lambda: connection_table.end_connections([EndingRow("s1", SCOPE, "lamp", 2, b"late")]))
    assert await current(store) is None
    assert await store.read(lambda: connection_table.last_ending(SCOPE, "lamp")) is None


async def test_the_last_ending_of_a_client_is_remembered_and_the_oldest_are_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(store, "one")
    await store.write(lambda: insert_registration_code(SCOPE, "code", datetime(2026, 1, 2, tzinfo=UTC)))
    await store.write(lambda: connection_table.mark_node("one"))
    assert await store.read(lambda: connection_table.is_marked("one"))
    await enter(store, await row(store, "s1", "one"))
    endings = [EndingRow("s1", SCOPE, "lamp", 2, b"second"), EndingRow("s0", SCOPE, "lamp", 1, b"first")]
    await store.write(lambda: connection_table.end_connections(endings))
    assert await current(store) is None
    await store.write(lambda: connection_table.record_endings([EndingRow("s0", SCOPE, "lamp", 1, b"late")]))
    assert await store.read(lambda: connection_table.last_ending(SCOPE, "lamp")) == b"second"
    await store.write(
        lambda: connection_table.record_endings(
            [EndingRow(f"t{n}", SCOPE, f"client-{n}", 10 + n, b"") for n in range(5)]
        )
    )
    monkeypatch.setattr(connection_table, "MOST_AT_ONCE", 1)
    portions = [await store.write(lambda: connection_table.prune_endings(3)) for _ in range(4)]
    assert portions == [True, True, True, False]
    kept = [await store.read(lambda n=n: connection_table.last_ending(SCOPE, f"client-{n}")) for n in range(5)]  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    assert kept == [None, None, b"", b"", b""]
    await store.write(lambda: connection_table.unmark_node("one"))
    assert not await store.read(lambda: connection_table.is_marked("one"))
