"""Accounts are made, listed and deleted: a deletion leaves nothing behind, disturbs nobody else, and can be resumed."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from msgspec import structs
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import Listener, new_authority, with_own_ids

from thingmint.core.caller import Caller, Principal
from thingmint.core.errors import AccessDenied, InvalidRequest, ResourceExists, ResourceNotFound, ServiceUnavailable
from thingmint.core.identifiers import AccountId, Region, Scope
from thingmint.data_directory.sealing import Sealer
from thingmint.records.access.accounts import CONTENTS, KEPT
from thingmint.records.steps import Program
from thingmint.registration.access.access_keys import (
    ADMINISTRATOR,
    ADMINISTRATOR_POLICY,
    AccessKeyRequest,
    create_access_key,
)
from thingmint.registration.access.accounts import (
    DELETED_TOGETHER,
    Account,
    create_account,
    delete_account,
    has_access_key,
    is_known,
    list_accounts,
)
from thingmint.registration.certificates.certificates import issue_with_new_key
from thingmint.registration.kernel.changes import changes_from

CLOCK = SettableClock(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
SEALER = Sealer(bytes(32), os.urandom)
REGION = Region("us-east-1")
OWN, FIRST, SECOND = AccountId("555555555555"), AccountId("111111111111"), AccountId("999999999999")
CALLER = Caller(OWN, REGION, Principal(f"arn:aws:iam::{OWN}:root", ()), "request-1", "local")
# Rows that are another account's, or another region's.
OTHERS = ((SECOND, REGION), (FIRST, Region("eu-central-1")))


def tables_of_accounts(store: MemoryStore) -> dict[str, list[tuple[str, str, int]]]:
    """Return name, type and whether it is needed of each column, for every table that names accounts."""
    connection = store.tables.connection
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    found = {}
    for name in names:
        columns = [
            (column, kind, int(required))
            for _, column, kind, required, _, primary in connection.execute(f"PRAGMA table_info({name})")
            if not (primary and kind == "INTEGER")
        ]
        if {"account", "region"} <= {column for column, _, _ in columns}:
            found[name] = columns
    return found


NUMBERS = itertools.count(1)


def insert(store: MemoryStore, table: str, account: str, region: str) -> None:
    """Insert a row that the schema takes; what is in its other columns means nothing."""
    columns = tables_of_accounts(store)[table]
    values: dict[str, object] = {
        column: b"" if kind == "BLOB" else next(NUMBERS) if kind == "BIGINT" else f"text {next(NUMBERS)}"
        for column, kind, _ in columns
    }
    values |= {"account": account, "region": region}
    marks = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    store.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", *values.values())


def rows(store: MemoryStore, table: str, account: str, region: str) -> int:
    found = store.tables.connection.execute(
        f"SELECT count(*) FROM {table} WHERE account = ? AND region = ?", (account, region)
    ).fetchall()
    return int(str(found[0][0]))


def fill(store: MemoryStore, account: str, region: str) -> None:
    for content in CONTENTS:
        insert(store, content.table, account, region)
    store.execute("INSERT INTO tag VALUES ($1, 'k', 'v')", f"arn:aws:iot:{region}:{account}:thing/a")
    task_id = store.tables.connection.execute(
        "SELECT task_id FROM registration_task WHERE account = ? AND region = ?", (account, region)
    ).fetchall()[0][0]
    store.execute("INSERT INTO registration_outcome VALUES ($1, $2, $3, 1, 1, 'report')", str(task_id), account, region)


async def created(store: MemoryStore, account: AccountId | None = None) -> AccountId:
    made = await create_account(store, SEALER, CLOCK, os.urandom, CALLER, account)
    return made.access_key.account


async def listed(store: MemoryStore) -> Sequence[Account]:
    page = await list_accounts(store, CALLER.scope, None, 100)
    assert page.following is None
    return page.accounts


def test_every_table_that_names_accounts_is_emptied_or_kept_for_a_reason(store: MemoryStore) -> None:
    known = {content.table for content in CONTENTS} | KEPT.keys()
    assert set(tables_of_accounts(store)) - known == set()
    assert all(KEPT.values())


async def test_an_account_gets_a_number_and_an_administrator(store: MemoryStore) -> None:
    made = await create_account(store, SEALER, CLOCK, os.urandom, CALLER)
    key = made.access_key
    assert len(key.account) == 12
    assert key.account.isdigit()
    assert (key.user_name, key.expires_at) == ("administrator", None)
    (entry,) = store.tables.audit
    assert (entry.scope.account, entry.action) == (OWN, "CreateAccount")
    assert entry.resource == f"arn:aws:thingmint:us-east-1:{OWN}:account/{key.account}"
    assert made.secret not in repr(made)
    assert await has_access_key(store, key.account)
    assert not await has_access_key(store, SECOND)


@pytest.mark.parametrize("account", [AccountId("000000000000"), FIRST, AccountId("999999999999")])
async def test_an_account_that_is_there_is_not_made_again(store: MemoryStore, account: AccountId) -> None:
    await created(store, account)
    with pytest.raises(ResourceExists):
        await created(store, account)
    assert len(store.tables.access_keys) == 1


async def test_an_account_without_keys_that_has_anything_is_not_made_again(store: MemoryStore) -> None:
    insert(store, "thing", FIRST, REGION)
    with pytest.raises(ResourceExists):
        await created(store, FIRST)


async def test_accounts_are_listed_by_number_in_pages(store: MemoryStore) -> None:
    for account in (SECOND, FIRST, OWN):
        await created(store, account)
    insert(store, "policy", AccountId("222222222222"), REGION)
    first = await list_accounts(store, CALLER.scope, None, 2)
    assert first.accounts == (Account(FIRST, 1), Account(AccountId("222222222222"), 0))
    assert first.following == "222222222222"
    rest = await list_accounts(store, CALLER.scope, first.following, 2)
    assert [each.account for each in rest.accounts] == [OWN, SECOND]
    assert rest.following is None


async def test_a_deleted_account_leaves_nothing_behind_and_disturbs_nobody(store: MemoryStore) -> None:
    await created(store, FIRST)
    await created(store, SECOND)
    for account, region in ((FIRST, REGION), *OTHERS):
        fill(store, account, region)
    kept = [table for table in KEPT if table not in ("access_key", "audit", "registration_outcome")]
    for table in kept:
        insert(store, table, FIRST, REGION)

    heard = Listener()
    removed = await delete_account(store, CLOCK, CALLER, FIRST, heard)

    assert removed == 1 + len(CONTENTS) + 3
    assert store.tables.connection.execute("SELECT kind, body FROM node_message").fetchall() == [("withdrawn", "")]
    emptied = [content.table for content in CONTENTS]
    assert [table for table in emptied if rows(store, table, FIRST, REGION)] == []
    assert [table for table in kept if not rows(store, table, FIRST, REGION)] == []
    for account, region in OTHERS:
        assert [table for table in emptied if rows(store, table, account, region) != 1] == []
        assert rows(store, "registration_outcome", account, region) == 1
    assert len(store.tables.rows("tag")) == len(OTHERS)
    assert {key.account for key in store.tables.access_keys.values()} == {SECOND}
    assert [(entry.action, entry.scope.account) for entry in heard.entries] == [("DeleteAccount", OWN)]


async def test_devices_are_told_that_what_they_connected_with_is_gone(store: MemoryStore) -> None:
    await created(store, FIRST)
    for table in ("certificate", "claim_certificate"):
        insert(store, table, FIRST, REGION)
    (certificate,) = store.tables.rows("certificate", "certificate_id")
    (claim,) = store.tables.rows("claim_certificate", "template_name")
    before = await changes_from(store, None)
    await delete_account(store, CLOCK, CALLER, FIRST)
    changed = await changes_from(store, before.stamp)
    assert changed.resources is not None
    assert set(changed.resources) == {
        f"arn:aws:thingmint:us-east-1:{OWN}:account/{FIRST}",
        f"arn:aws:iam::{FIRST}:user/administrator",
        f"arn:aws:iot:us-east-1:{FIRST}:cert/{certificate[0]}",
        f"arn:aws:iot:us-east-1:{FIRST}:provisioningtemplate/{claim[0]}",
    }


async def test_no_transaction_of_a_deletion_is_large(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await created(store, FIRST)
    count = 2 * DELETED_TOGETHER + 1
    for _ in range(count):
        insert(store, "thing_principal", FIRST, REGION)
    left: list[int] = []
    really_write = MemoryStore.write

    async def write(self: MemoryStore, program: Program[object]) -> object:
        result = await really_write(self, program)
        left.append(rows(self, "thing_principal", FIRST, REGION))
        return result

    monkeypatch.setattr(MemoryStore, "write", write)
    assert await delete_account(store, CLOCK, CALLER, FIRST) == count + 1
    assert max(before - after for before, after in itertools.pairwise(left)) == DELETED_TOGETHER


async def test_a_deletion_that_was_cut_off_is_finished_by_the_next(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await created(store, FIRST)
    fill(store, FIRST, REGION)
    really_write = MemoryStore.write
    written = itertools.count()

    async def write(self: MemoryStore, program: Program[object]) -> object:
        if next(written) == 5:
            raise ServiceUnavailable
        return await really_write(self, program)

    monkeypatch.setattr(MemoryStore, "write", write)
    with pytest.raises(ServiceUnavailable):
        await delete_account(store, CLOCK, CALLER, FIRST)
    assert store.tables.access_keys == {}
    assert [each.account for each in await listed(store)] == [FIRST]

    await delete_account(store, CLOCK, CALLER, FIRST)
    assert await listed(store) == ()
    with pytest.raises(ResourceNotFound):
        await delete_account(store, CLOCK, CALLER, FIRST)


async def test_an_account_is_known_until_its_last_row_is_gone(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await created(store, FIRST)
    fill(store, FIRST, REGION)
    scope, resource = Scope(FIRST, REGION), f"arn:aws:thingmint:us-east-1:{OWN}:account/{FIRST}"
    told: list[bool] = []
    really_write = MemoryStore.write

    async def write(self: MemoryStore, program: Program[object]) -> object:
        before = await changes_from(self, None)
        result = await really_write(self, program)
        changed = await changes_from(self, before.stamp)
        if changed.resources is not None and resource in changed.resources:
            told.append(await is_known(self, scope))
        return result

    assert await is_known(store, scope)
    monkeypatch.setattr(MemoryStore, "write", write)
    await delete_account(store, CLOCK, CALLER, FIRST)
    assert told[0]
    assert not told[-1]


async def test_an_account_does_not_delete_itself(store: MemoryStore) -> None:
    await created(store, OWN)
    with pytest.raises(InvalidRequest, match="itself"):
        await delete_account(store, CLOCK, CALLER, OWN)
    assert [each.account for each in await listed(store)] == [OWN]


async def test_nothing_is_issued_in_an_account_that_was_deleted_meanwhile(store: MemoryStore) -> None:
    authority = structs.replace(with_own_ids(new_authority(store)), administrator=CALLER.scope)
    device = Caller(FIRST, REGION, Principal("arn:aws:iam::111111111111:user/administrator", ()), "request-2", "local")

    async def issue(caller: Caller) -> None:
        await issue_with_new_key(authority, caller, active=True)

    await created(store, FIRST)
    await delete_account(store, CLOCK, CALLER, FIRST)
    with pytest.raises(AccessDenied, match="The account 111111111111 was deleted"):
        await issue(device)
    assert not await is_known(store, device.scope)
    # Of the newest entry and the access keys, either is enough.
    await created(store, FIRST)
    await issue(device)
    await delete_account(store, CLOCK, CALLER, FIRST)
    request = AccessKeyRequest(ADMINISTRATOR, ADMINISTRATOR_POLICY)
    await create_access_key(store, SEALER, CLOCK, os.urandom, device, request)
    await issue(device)
    # The service's own account, and one of which the audit trail has nothing.
    await issue(CALLER)
    await issue(replace(device, account=SECOND))
