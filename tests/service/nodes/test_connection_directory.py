"""What is written of connections, when the database takes it late, twice or not at all."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from tests.support.brokers.broker import Losses
from tests.support.databases.stores import SCOPE, Timings

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import CertificateId, Scope
from thingmint.mqtt.counters import Counters, Loss
from thingmint.records.certificates.ca_certificates import insert_registration_code
from thingmint.records.nodes import connections as connection_table
from thingmint.records.nodes import nodes as node_table
from thingmint.records.nodes.connections import ConnectionRow, EndingRow
from thingmint.records.nodes.messages import NodeMessage
from thingmint.records.steps import Program
from thingmint.registration.kernel.ports import Store
from thingmint.service.nodes import connection_directory
from thingmint.service.nodes.connection_directory import EVENT, TAKEN_OVER, ConnectionDirectory
from thingmint.service.nodes.mailbox import Mailbox
from thingmint.storage import open_store

T = TypeVar("T")


class Forgetful:
    """A store whose next commit is not answered."""

    def __init__(self, store: Store) -> None:
        self.read, self.check, self.close = store.read, store.check, store.close
        self._store = store
        self.loses_answers = 0
        self.is_away = False

    async def write(self, program: Program[T]) -> T:
        if self.is_away:
            raise ServiceUnavailable
        written = await self._store.write(program)
        if self.loses_answers:
            self.loses_answers -= 1
            raise ServiceUnavailable
        return written


@pytest.fixture
async def store(migrated_postgresql_url: str, tmp_path: Path) -> AsyncIterator[Forgetful]:
    opened = await open_store(migrated_postgresql_url, tmp_path, observe=Timings())
    for node_id in ("one", "two"):
        await opened.write(lambda each=node_id: node_table.add_node(each, each, "1", "local", "{}"))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    await opened.write(lambda: insert_registration_code(SCOPE, "code", datetime(2026, 1, 2, tzinfo=UTC)))
    yield Forgetful(opened)
    await opened.close()


def directory_of(
    store: Store, node_id: str, lost: list[str] | None = None, losses: Losses | None = None
) -> ConnectionDirectory:
    def end(scope: Scope, client_id: str, session_id: str) -> None:
        del scope, client_id
        if lost is not None:
            lost.append(session_id)

    return ConnectionDirectory(store, lambda: node_id, end, Counters(losses))


def opening(session: str, node: str, client: str = "lamp", at: int = 1) -> ConnectionRow:
    return ConnectionRow(session, node, SCOPE, client, CertificateId("a" * 64), at, b"{}")


async def mailbox_of(store: Store, node_id: str, heard: list[NodeMessage]) -> Mailbox:
    async def hear(message: NodeMessage) -> None:
        heard.append(message)

    mailbox = Mailbox(store, lambda: node_id, {EVENT: hear, TAKEN_OVER: hear})
    await mailbox.begin()
    return mailbox


async def test_what_was_written_without_an_answer_is_written_again_and_heard_once(store: Forgetful) -> None:
    heard = list[NodeMessage]()
    mailbox, directory = await mailbox_of(store, "two", heard), directory_of(store, "one")
    directory.opened(opening("s1", "one"))
    directory.send_event(EVENT, SCOPE, b"first")
    directory.send_event(EVENT, SCOPE, b"second")
    store.loses_answers = 1
    with pytest.raises(ServiceUnavailable):
        await directory.write()
    assert not directory.is_empty
    await mailbox.read()
    await directory.write()
    await mailbox.read()
    assert [each.body for each in heard] == [b"first", b"second"]


async def test_a_connection_that_ends_before_it_is_entered_takes_over_all_the_same(store: Forgetful) -> None:
    heard = list[NodeMessage]()
    mailbox = await mailbox_of(store, "two", heard)
    theirs, ours = directory_of(store, "two"), directory_of(store, "one")
    theirs.opened(opening("s1", "two", at=1))
    await theirs.write()
    ours.opened(opening("s2", "one", at=2))
    ours.ended(EndingRow("s2", SCOPE, "lamp", 3, b"ended"))
    await ours.write()
    assert ours.is_empty
    await mailbox.read()
    assert [(each.kind, each.subject, each.body) for each in heard] == [(TAKEN_OVER, "s1", b"lamp")]
    assert await store.read(lambda: connection_table.current_connection(SCOPE, "lamp")) is None
    assert await store.read(lambda: connection_table.last_ending(SCOPE, "lamp")) == b"ended"


async def test_a_connection_that_meets_a_newer_one_is_ended_here(store: Forgetful) -> None:
    lost = list[str]()
    theirs, ours = directory_of(store, "two"), directory_of(store, "one", lost)
    theirs.opened(opening("s2", "two", at=2))
    await theirs.write()
    ours.opened(opening("s1", "one", at=1))
    await ours.write()
    assert lost == ["s1"]


async def test_while_the_database_is_away_events_wait_and_the_oldest_are_given_up(
    store: Forgetful, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_directory, "MOST_EVENTS", 3)
    heard = list[NodeMessage]()
    losses = Losses()
    mailbox, directory = await mailbox_of(store, "two", heard), directory_of(store, "one", losses=losses)
    store.is_away = True
    writing = asyncio.create_task(directory.run())
    for number in range(5):
        directory.send_event(EVENT, SCOPE, str(number).encode())
    directory.enter_again([opening("s1", "one")])
    await asyncio.sleep(0)
    store.is_away = False
    while not directory.is_empty:  # noqa: ASYNC110  # the directory sets no event when it is empty
        await asyncio.sleep(0.01)
    writing.cancel()
    await mailbox.read()
    assert [each.body for each in heard] == [b"2", b"3", b"4"]
    assert losses.of(Loss.EVENT_UNSENT) == 2
    found = await store.read(lambda: connection_table.current_connection(SCOPE, "lamp"))
    assert found is not None
    directory.send_event(EVENT, SCOPE, b"never")
    directory.clear()
    assert directory.is_empty


async def test_a_node_that_others_have_removed_writes_nothing_more(store: Forgetful) -> None:
    heard = list[NodeMessage]()
    mailbox, directory = await mailbox_of(store, "two", heard), directory_of(store, "one")
    await store.write(lambda: node_table.remove_node("one"))
    directory.opened(opening("s1", "one"))
    directory.send_event(EVENT, SCOPE, b"late")
    with pytest.raises(ServiceUnavailable, match="not among the nodes"):
        await directory.write()
    await mailbox.read()
    assert heard == []
    assert await store.read(lambda: connection_table.current_connection(SCOPE, "lamp")) is None
