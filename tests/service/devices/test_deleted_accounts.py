"""Which messages in memory a node removes when accounts are deleted, and when it only may have missed changes."""

import os
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from functools import partial

import pytest
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore

from thingmint.core.caller import Caller, Principal
from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope
from thingmint.core.principals import Watched
from thingmint.data_directory.sealing import Sealer
from thingmint.mqtt.edges.recent_refusals import RecentRefusals
from thingmint.mqtt.events import ConnectRefused, DisconnectReason
from thingmint.mqtt.gateway.last_endings import Ending, LastEndings
from thingmint.registration.access.accounts import create_account, delete_account, is_known
from thingmint.registration.kernel.change_watch import ChangeWatch
from thingmint.service.devices.deleted_accounts import ClientRecords, DeletedAccounts

REGION = Region("us-east-1")
OWN, FIRST, SECOND = (Scope(AccountId(digit * 12), REGION) for digit in "512")
CALLER = Caller(OWN.account, REGION, Principal(f"arn:aws:iam::{OWN.account}:root", ()), "request-1", "local")
CLOCK, SEALER = SettableClock(datetime(2026, 1, 2, tzinfo=UTC)), Sealer(bytes(32), os.urandom)


class Kept:
    """Implements `mqtt.data_plane.KeptMessages` with names of accounts."""

    def __init__(self, *scopes: Scope) -> None:
        self.present, self.forgotten = set(scopes), list[Scope]()

    def accounts(self) -> AbstractSet[Scope]:
        return self.present

    async def forget(self, scope: Scope) -> None:
        self.forgotten.append(scope)


class Node:
    """What a node does each second."""

    def __init__(self, store: MemoryStore, kept: Kept | None, *records: ClientRecords) -> None:
        self.watch = ChangeWatch[Watched](store)
        self.deleted = DeletedAccounts(partial(is_known, store), OWN, self.watch, kept, lambda: records)

    async def look(self) -> None:
        await self.deleted.watch_all()
        self.deleted.note(await self.watch.changed_keys())
        await self.deleted.forget()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def create(store: MemoryStore, *scopes: Scope) -> None:
    for scope in scopes:
        await create_account(store, SEALER, CLOCK, os.urandom, CALLER, scope.account)


async def test_a_deleted_account_is_forgotten_although_it_was_created_again(store: MemoryStore) -> None:
    await create(store, FIRST, SECOND)
    node = Node(store, kept := Kept(FIRST, SECOND))
    await node.look()
    assert kept.forgotten == []
    await delete_account(store, CLOCK, CALLER, FIRST.account)
    await create(store, FIRST)
    await node.look()
    assert kept.forgotten == [FIRST]
    await node.look()
    assert kept.forgotten == [FIRST]


async def test_after_missed_changes_unknown_accounts_are_forgotten(store: MemoryStore) -> None:
    await create(store, FIRST)
    node = Node(store, kept := Kept(FIRST, SECOND))
    await node.look()
    assert kept.forgotten == [SECOND]


async def test_a_message_of_an_account_that_was_deleted_before_is_forgotten(store: MemoryStore) -> None:
    await create(store, FIRST)
    node = Node(store, kept := Kept())
    await node.look()
    await delete_account(store, CLOCK, CALLER, FIRST.account)
    await node.look()
    kept.present.add(FIRST)
    await node.look()
    assert kept.forgotten == [FIRST]


async def test_an_account_without_messages_is_not_watched(store: MemoryStore) -> None:
    await create(store, FIRST, SECOND)
    node = Node(store, kept := Kept(FIRST, SECOND))
    await node.look()
    kept.present.discard(FIRST)
    await node.look()
    await delete_account(store, CLOCK, CALLER, FIRST.account)
    await node.look()
    assert kept.forgotten == []


async def test_a_node_whose_broker_is_elsewhere_watches_no_account(store: MemoryStore) -> None:
    await create(store, FIRST)
    node = Node(store, None)
    await node.look()
    await delete_account(store, CLOCK, CALLER, FIRST.account)
    assert await node.watch.changed_keys() == frozenset()


async def test_records_of_clients_are_removed_also_if_connections_end_later(store: MemoryStore) -> None:
    ending = Ending(CLOCK.now(), DisconnectReason.CONNECTION_LOST, 60, True, 0)
    await create(store, FIRST, SECOND)
    endings, refusals = LastEndings(), RecentRefusals(OWN)
    for scope in (FIRST, SECOND):
        endings.record(scope, "lamp", ending)
        refusals.connect_refused(ConnectRefused(CertificateId("ab" * 32), "192.0.2.7", CLOCK.now(), "why", scope=scope))
    node = Node(store, None, endings, refusals)
    await node.look()
    await delete_account(store, CLOCK, CALLER, FIRST.account)
    await node.look()
    assert endings.accounts() == refusals.accounts() == {SECOND}
    endings.record(FIRST, "lamp", ending)
    await node.look()
    assert endings.of_client(FIRST, "lamp") is None
    assert endings.of_client(SECOND, "lamp") == ending
