"""Access keys are made, listed and deleted, each change with its audit entry, and the administrator gets one."""

import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.support.clients.signing import SettableClock
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import Listener
from tests.support.registration.policies import document, statement

from thingmint.core.access_key import AccessKey, AccessKeyOrigin
from thingmint.core.caller import Caller, Principal
from thingmint.core.errors import InvalidRequest, MalformedPolicy, ResourceNotFound, ServiceUnavailable
from thingmint.core.identifiers import AccountId, Region, Scope, user_arn
from thingmint.core.policies.language import DecisionEffect, evaluate, parse_policy
from thingmint.data_directory.sealing import Sealer
from thingmint.records.access import access_keys as access_key_table
from thingmint.registration.access.access_keys import (
    AccessKeyRequest,
    NewAccessKey,
    create_access_key,
    delete_access_key,
    ensure_administrator,
    list_access_keys,
    sealing_name,
    session_token_digest,
)
from thingmint.registration.kernel.changes import changes_from

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CLOCK = SettableClock(NOW)
SEALER = Sealer(bytes(32), os.urandom)
SCOPE = Scope(AccountId("000000000000"), Region("us-east-1"))
OTHER = Scope(AccountId("111111111111"), Region("us-east-1"))
POLICY = document(statement(Action="iot:Describe*"))
PRESET, FIRST_START = AccessKeyOrigin.PRESET, AccessKeyOrigin.FIRST_START


def caller(scope: Scope = SCOPE) -> Caller:
    principal = Principal(f"arn:aws:iam::{scope.account}:root", ())
    return Caller(scope.account, scope.region, principal, "request-1", "local")


async def created(store: MemoryStore, scope: Scope = SCOPE, lifetime: timedelta | None = None) -> NewAccessKey:
    request = AccessKeyRequest("line-7", POLICY, lifetime)
    return await create_access_key(store, SEALER, CLOCK, os.urandom, caller(scope), request)


async def ensured(
    store: MemoryStore, access_key_id: str, secret: str, origin: AccessKeyOrigin, scope: Scope = SCOPE
) -> bool:
    return await ensure_administrator(store, SEALER, CLOCK, scope, access_key_id, secret, origin)


def secrets_in(store: MemoryStore) -> dict[str, str]:
    keys = store.tables.access_keys.values()
    return {
        key.access_key_id: SEALER.unseal(key.sealed_secret, sealing_name(key.access_key_id)).decode() for key in keys
    }


def audited(store: MemoryStore) -> list[tuple[str, str]]:
    return [(entry.action, entry.detail["access_key_id"]) for entry in store.tables.audit]


async def test_permanent_key_is_formed_like_those_of_aws(store: MemoryStore) -> None:
    new = await created(store)
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", new.access_key.access_key_id)
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", new.secret)
    assert new.session_token is None
    assert (new.access_key.expires_at, new.access_key.session_token_sha256) == (None, None)
    assert (new.access_key.account, new.access_key.user_name) == (SCOPE.account, "line-7")
    assert (new.access_key.created_at, new.access_key.origin) == (NOW, AccessKeyOrigin.OPERATOR)
    assert store.tables.access_keys == {new.access_key.access_key_id: new.access_key}


async def test_temporary_key_has_a_token_and_an_expiry(store: MemoryStore) -> None:
    new = await created(store, lifetime=timedelta(hours=1))
    assert re.fullmatch(r"ASIA[A-Z2-7]{16}", new.access_key.access_key_id)
    assert new.session_token is not None
    assert new.access_key.session_token_sha256 == session_token_digest(new.session_token)
    assert new.access_key.expires_at == NOW + timedelta(hours=1)


async def test_secret_is_stored_sealed_and_shown_by_no_repr(store: MemoryStore) -> None:
    new = await created(store, lifetime=timedelta(hours=1))
    assert secrets_in(store) == {new.access_key.access_key_id: new.secret}
    assert new.secret.encode() not in new.access_key.sealed_secret
    shown = repr((new, store.tables))
    assert new.secret not in shown
    assert str(new.session_token) not in shown


async def test_keys_differ(store: MemoryStore) -> None:
    first, second = await created(store), await created(store)
    assert first.access_key.access_key_id != second.access_key.access_key_id
    assert first.secret != second.secret


async def test_creation_is_audited_without_secrets(store: MemoryStore) -> None:
    new = await created(store, lifetime=timedelta(hours=1))
    (entry,) = store.tables.audit
    assert (entry.action, entry.resource) == ("CreateAccessKey", "arn:aws:iam::000000000000:user/line-7")
    assert (entry.at, entry.scope, entry.request_id) == (NOW, SCOPE, "request-1")
    assert entry.detail == {
        "access_key_id": new.access_key.access_key_id,
        "origin": "OPERATOR",
        "expires_at": "2026-01-02T04:04:05+00:00",
    }


@pytest.mark.parametrize("user_name", ["", "a b", "a/b", "a\n", "ä", "a" * 65])
async def test_user_name_has_bounds(store: MemoryStore, user_name: str) -> None:
    request = AccessKeyRequest(user_name, POLICY)
    with pytest.raises(InvalidRequest, match="A user name has 1 to 64 characters"):
        await create_access_key(store, SEALER, CLOCK, os.urandom, caller(), request)
    assert not store.tables.access_keys


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(seconds=-1), timedelta(hours=36, seconds=1)])
async def test_lifetime_has_bounds(store: MemoryStore, lifetime: timedelta) -> None:
    with pytest.raises(InvalidRequest, match="last up to 36 hours"):
        await created(store, lifetime=lifetime)


async def test_longest_lifetime_is_accepted(store: MemoryStore) -> None:
    assert (await created(store, lifetime=timedelta(hours=36))).access_key.expires_at == NOW + timedelta(hours=36)


async def test_policy_must_be_one(store: MemoryStore) -> None:
    with pytest.raises(MalformedPolicy, match="line 1, column 1"):
        await create_access_key(store, SEALER, CLOCK, os.urandom, caller(), AccessKeyRequest("ada", "allow"))
    assert not store.tables.access_keys


async def test_nothing_is_returned_before_the_commit(store: MemoryStore) -> None:
    store.lose_commit_with = ServiceUnavailable()
    with pytest.raises(ServiceUnavailable):
        await created(store)
    assert not store.tables.access_keys
    assert not store.tables.audit


async def test_list_shows_the_accounts_keys_oldest_first(store: MemoryStore) -> None:
    first, _, third = await created(store), await created(store, OTHER), await created(store)
    assert await list_access_keys(store, SCOPE.account) == (first.access_key, third.access_key)


async def test_deleted_key_is_gone_and_audited(store: MemoryStore) -> None:
    access_key_id = (await created(store)).access_key.access_key_id
    await delete_access_key(store, CLOCK, caller(), access_key_id)
    assert not store.tables.access_keys
    assert audited(store) == [("CreateAccessKey", access_key_id), ("DeleteAccessKey", access_key_id)]


async def test_unknown_key_cannot_be_deleted(store: MemoryStore) -> None:
    with pytest.raises(ResourceNotFound, match="The access key AKIANOBODY does not exist"):
        await delete_access_key(store, CLOCK, caller(), "AKIANOBODY")


async def test_key_of_another_account_cannot_be_deleted(store: MemoryStore) -> None:
    foreign = (await created(store, OTHER)).access_key.access_key_id
    with pytest.raises(ResourceNotFound):
        await delete_access_key(store, CLOCK, caller(), foreign)
    assert foreign in store.tables.access_keys


@pytest.mark.parametrize("origin", [FIRST_START, PRESET])
async def test_administrator_may_do_everything(store: MemoryStore, origin: AccessKeyOrigin) -> None:
    assert await ensured(store, "AKIAROOT", "secret", origin)
    (key,) = store.tables.access_keys.values()
    assert (key.user_name, key.account, key.origin) == ("administrator", SCOPE.account, origin)
    decision = evaluate([parse_policy(key.policy_text)], "iot:DeleteCertificate", "arn:aws:iot:r:1:cert/a", {})
    assert decision.effect is DecisionEffect.ALLOWED
    assert secrets_in(store) == {"AKIAROOT": "secret"}
    assert audited(store) == [("CreateAccessKey", "AKIAROOT")]
    assert store.tables.audit[0].principal_arn == "arn:aws:iam::000000000000:root"


@pytest.mark.parametrize("origin", [FIRST_START, PRESET])
async def test_ensuring_twice_changes_nothing(store: MemoryStore, origin: AccessKeyOrigin) -> None:
    await ensured(store, "AKIAROOT", "secret", origin)
    before = store.tables.dump()
    assert not await ensured(store, "AKIAROOT", "secret", origin)
    assert store.tables.dump() == before


async def test_key_of_the_first_start_is_not_stored_beside_any_other(store: MemoryStore) -> None:
    operators = (await created(store, OTHER)).access_key.access_key_id
    assert not await ensured(store, "AKIAROOT", "secret", FIRST_START)
    assert list(store.tables.access_keys) == [operators]


async def test_preset_key_is_stored_beside_others(store: MemoryStore) -> None:
    await ensured(store, "AKIAFIRST", "first", FIRST_START)
    operators = await created(store)
    assert await ensured(store, "AKIAPRESET", "secret", PRESET)
    assert secrets_in(store) == {
        "AKIAFIRST": "first",
        operators.access_key.access_key_id: operators.secret,
        "AKIAPRESET": "secret",
    }


async def test_preset_key_replaces_an_earlier_one(store: MemoryStore) -> None:
    await ensured(store, "AKIAOLD", "secret", PRESET)
    assert await ensured(store, "AKIANEW", "secret", PRESET)
    assert secrets_in(store) == {"AKIANEW": "secret"}
    assert audited(store)[1:] == [("DeleteAccessKey", "AKIAOLD"), ("CreateAccessKey", "AKIANEW")]


async def test_preset_key_replaces_another_secret_of_its_id(store: MemoryStore) -> None:
    await ensured(store, "AKIAROOT", "old", PRESET)
    assert await ensured(store, "AKIAROOT", "new", PRESET)
    assert secrets_in(store) == {"AKIAROOT": "new"}


async def test_preset_key_takes_over_its_id_from_the_first_start(store: MemoryStore) -> None:
    await ensured(store, "AKIAROOT", "secret", FIRST_START)
    assert await ensured(store, "AKIAROOT", "secret", PRESET)
    assert store.tables.access_keys["AKIAROOT"].origin is PRESET


async def test_preset_key_gets_the_administrators_policy_back(store: MemoryStore) -> None:
    await ensured(store, "AKIAROOT", "secret", PRESET)
    store.execute("UPDATE access_key SET policy_text = $1", POLICY)
    assert await ensured(store, "AKIAROOT", "secret", PRESET)
    assert store.tables.access_keys["AKIAROOT"].policy_text != POLICY


async def test_preset_keys_of_another_account_stay(store: MemoryStore) -> None:
    await ensured(store, "AKIAONE", "one", PRESET)
    await ensured(store, "AKIATWO", "two", PRESET, OTHER)
    assert secrets_in(store) == {"AKIAONE": "one", "AKIATWO": "two"}


async def test_stale_preset_goes_even_if_the_wanted_one_stands(store: MemoryStore) -> None:
    await ensured(store, "AKIAROOT", "secret", PRESET)
    stale: AccessKey = replace(store.tables.access_keys["AKIAROOT"], access_key_id="AKIASTALE")
    await store.write(lambda: access_key_table.insert_access_key(stale))
    assert await ensured(store, "AKIAROOT", "secret", PRESET)
    assert list(store.tables.access_keys) == ["AKIAROOT"]


async def test_preset_key_that_another_sealing_key_sealed_stops_the_start(store: MemoryStore) -> None:
    await ensured(store, "AKIAROOT", "secret", PRESET)
    stranger = Sealer(bytes(range(32)), os.urandom)
    with pytest.raises(ServiceUnavailable, match="cannot be unsealed"):
        await ensure_administrator(store, stranger, CLOCK, SCOPE, "AKIAROOT", "secret", PRESET)


async def test_every_change_of_access_keys_has_an_audit_entry_and_a_note_for_other_nodes(store: MemoryStore) -> None:
    heard = Listener()
    before = await changes_from(store, None)
    request = AccessKeyRequest("line-7", POLICY)
    created = await create_access_key(store, SEALER, CLOCK, os.urandom, caller(), request, heard)
    await delete_access_key(store, CLOCK, caller(), created.access_key.access_key_id)
    await ensure_administrator(store, SEALER, CLOCK, SCOPE, "AKIAFIRST", "secret", PRESET)
    await ensure_administrator(store, SEALER, CLOCK, SCOPE, "AKIASECOND", "secret", PRESET)
    assert [entry.action for entry in heard.entries] == ["CreateAccessKey"]
    assert [action for action, _ in audited(store)] == [
        *("CreateAccessKey", "DeleteAccessKey", "CreateAccessKey"),
        *("DeleteAccessKey", "CreateAccessKey"),
    ]
    assert (await changes_from(store, before.stamp)).resources == frozenset(
        {user_arn(SCOPE, "line-7"), user_arn(SCOPE, "administrator")}
    )
