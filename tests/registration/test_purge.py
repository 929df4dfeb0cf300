"""Temporary credentials go some time after they expired, each with its entry in the trail; permanent ones stay."""

import os
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import ACCOUNT, REGION, caller_with
from tests.support.registration.policies import document, statement

from thingmint.core.access_key import AccessKeyOrigin
from thingmint.core.identifiers import AccountId, Scope
from thingmint.core.paging import PageRequest
from thingmint.data_directory.sealing import Sealer
from thingmint.records import audit as audit_table
from thingmint.records.steps import Program
from thingmint.registration.access.access_keys import (
    KEPT_AFTER_EXPIRY,
    AccessKeyRequest,
    create_access_key,
    ensure_administrator,
    list_access_keys,
    purge_expired,
)

T = TypeVar("T")

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SEALER = Sealer(bytes(32), os.urandom)
LIFETIME = timedelta(hours=1)
OTHER_ACCOUNT = AccountId("210987654321")


async def created(store: MemoryStore, lifetime: timedelta | None, account: AccountId = ACCOUNT) -> str:
    request = AccessKeyRequest("line-7", document(statement(Action="iot:*")), lifetime)
    caller = caller_with(account=account)
    new = await create_access_key(store, SEALER, SettableClock(NOW), os.urandom, caller, request)
    return new.access_key.access_key_id


async def purged_at(store: MemoryStore, moment: datetime) -> int:
    return await purge_expired(store, SettableClock(moment), REGION)


async def ids(store: MemoryStore, account: AccountId = ACCOUNT) -> set[str]:
    return {access_key.access_key_id for access_key in await list_access_keys(store, account)}


async def newest_actions(store: MemoryStore, account: AccountId) -> list[tuple[str, str, str]]:
    request = PageRequest(10, None, ascending=False)
    page = await store.read(lambda: audit_table.audit_page(Scope(account, REGION), request))
    return [
        (entry.action, entry.detail["access_key_id"], entry.principal_arn) for entry in (listed.item for listed in page)
    ]


async def test_expired_credentials_stay_as_long_as_a_client_may_ask_why(store: MemoryStore) -> None:
    temporary = await created(store, LIFETIME)
    over = NOW + LIFETIME + KEPT_AFTER_EXPIRY
    assert await purged_at(store, over - timedelta(seconds=1)) == 0
    assert await ids(store) == {temporary}
    assert await purged_at(store, over) == 1
    assert await ids(store) == set()


async def test_permanent_credentials_stay_for_ever(store: MemoryStore) -> None:
    permanent = await created(store, None)
    await ensure_administrator(
        store,
        SEALER,
        SettableClock(NOW),
        Scope(ACCOUNT, REGION),
        "AKIAROOT",
        "secret",
        AccessKeyOrigin.PRESET,
    )
    assert await purged_at(store, NOW + timedelta(days=10_000)) == 0
    assert await ids(store) == {permanent, "AKIAROOT"}


async def test_removal_is_in_the_trail_of_the_account(store: MemoryStore) -> None:
    gone = {account: await created(store, LIFETIME, account) for account in (ACCOUNT, OTHER_ACCOUNT)}
    assert await purged_at(store, NOW + timedelta(days=2)) == 2
    for account, access_key_id in gone.items():
        newest, *_ = await newest_actions(store, account)
        assert newest == ("DeleteAccessKey", access_key_id, f"arn:aws:iam::{account}:root")


async def test_credentials_that_another_service_has_removed_are_counted_and_told_of_once(store: MemoryStore) -> None:
    access_key_id = await created(store, LIFETIME)

    class Slow(MemoryStore):
        async def read(self, program: Program[T]) -> T:
            seen = await store.read(program)
            if access_key_id in await ids(store):
                assert await purged_at(store, NOW + timedelta(days=2)) == 1
            return seen

        async def write(self, program: Program[T]) -> T:
            return await store.write(program)

    assert await purged_at(Slow(), NOW + timedelta(days=2)) == 0
    actions = [action for action, _, _ in await newest_actions(store, ACCOUNT)]
    assert actions == ["DeleteAccessKey", "CreateAccessKey"]


async def test_purge_is_done_in_transactions_of_bounded_size(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thingmint.registration.access.access_keys._PURGED_TOGETHER", 2)
    for _ in range(3):
        await created(store, LIFETIME)
    assert [await purged_at(store, NOW + timedelta(days=2)) for _ in range(3)] == [2, 1, 0]
