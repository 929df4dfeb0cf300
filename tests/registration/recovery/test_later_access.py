"""Deletions of access keys after a backup are made again, from entries that tell which key it was."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from tests.support.databases.log import CALLER
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import SCOPE

from thingmint.core.access_key import AccessKey, AccessKeyOrigin
from thingmint.core.transparency.leaf import LoggedEntry
from thingmint.records.access import access_keys as access_key_table
from thingmint.registration.recovery.later_access import deleted_key, replay_key_deletion

NOW = datetime(2027, 1, 1, tzinfo=UTC)
KEY = AccessKey(
    access_key_id="AKIA1",
    account=SCOPE.account,
    user_name="anna",
    policy_text="{}",
    sealed_secret=b"sealed",
    session_token_sha256=None,
    created_at=NOW - timedelta(days=9),
    expires_at=None,
    origin=AccessKeyOrigin.OPERATOR,
)


def entry(action: str = "DeleteAccessKey", detail: str = '{"access_key_id":"AKIA1"}', account: str = "") -> LoggedEntry:
    return LoggedEntry(
        1, 2, account or SCOPE.account, SCOPE.region, "arn", "192.0.2.1", "id", action, "resource", detail
    )


async def replayed(store: MemoryStore, given: LoggedEntry) -> bool:
    return await store.write(partial(replay_key_deletion, CALLER, NOW, given, "AKIA1"))


async def test_a_deleted_key_is_deleted_again_once() -> None:
    store = MemoryStore()
    await store.write(lambda: access_key_table.insert_access_key(KEY))
    assert await replayed(store, entry())
    assert await store.read(lambda: access_key_table.access_key("AKIA1")) is None
    assert not await replayed(store, entry())
    (record,) = store.tables.audit
    assert (record.action, record.resource, record.detail["restored"]) == ("DeleteAccessKey", "resource", "true")


async def test_a_key_of_another_account_stays() -> None:
    store = MemoryStore()
    await store.write(lambda: access_key_table.insert_access_key(KEY))
    assert not await replayed(store, entry(account="222222222222"))
    assert await store.read(lambda: access_key_table.access_key("AKIA1")) == KEY


@pytest.mark.parametrize(
    "given",
    [
        entry("CreateAccessKey"),
        entry(detail="{"),
        entry(detail="[]"),
        entry(detail="{}"),
        entry(detail='{"access_key_id":5}'),
        entry(detail="[" * 100_000),
    ],
    ids=["another action", "no JSON", "a list", "no id", "a number", "deep"],
)
def test_other_entries_name_no_key(given: LoggedEntry) -> None:
    assert deleted_key(given) is None
    assert deleted_key(entry(detail=json.dumps({"access_key_id": "AKIA2"}))) == "AKIA2"
