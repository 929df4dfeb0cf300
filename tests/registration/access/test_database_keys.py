"""A database belongs to the keys that sealed what is in it, and to no others."""

import os
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.databases.memory_store import MemoryStore
from tests.support.databases.stores import insert, sample_certificate
from tests.support.registration.authority import ACCOUNT, caller_with, new_authority
from tests.support.registration.policies import document, statement

from thingmint.core.identifiers import AccountId
from thingmint.data_directory.sealing import Sealer
from thingmint.registration.access.access_keys import AccessKeyRequest, create_access_key
from thingmint.registration.access.database_keys import ForeignDatabase, require_own_database

ISSUER_IDS = {"ab" * 32, "ef" * 32}
OURS, THEIRS = Sealer(bytes(32), os.urandom), Sealer(bytes([1]) * 32, os.urandom)


async def add_access_key(store: MemoryStore, sealer: Sealer, account: AccountId = ACCOUNT) -> str:
    request = AccessKeyRequest("line-7", document(statement(Action="iot:*")), timedelta(hours=1))
    clock = new_authority().clock
    created = await create_access_key(store, sealer, clock, os.urandom, caller_with(account=account), request)
    return created.access_key.access_key_id


async def test_empty_database_belongs_to_whoever_comes_first(store: MemoryStore) -> None:
    await require_own_database(store, OURS, ISSUER_IDS)


async def test_own_database_is_recognised(store: MemoryStore) -> None:
    await add_access_key(store, OURS)
    await add_access_key(store, OURS, AccountId("210987654321"))
    await require_own_database(store, OURS, ISSUER_IDS)


async def test_secret_that_another_key_has_sealed_shows_a_foreign_database(store: MemoryStore) -> None:
    await add_access_key(store, OURS)
    # Of another account: whoever calls names the key, so its secret must be readable, too.
    foreign = await add_access_key(store, THEIRS, AccountId("210987654321"))
    with pytest.raises(ForeignDatabase, match=f"the secret of access key {foreign} in it was sealed with another key"):
        await require_own_database(store, OURS, ISSUER_IDS)


async def test_certificate_of_another_authority_shows_a_foreign_database(store: MemoryStore) -> None:
    ours, theirs = sample_certificate(1), replace(sample_certificate(2), issuer_id="cd" * 32)
    await insert(store, ours)
    await insert(store, replace(sample_certificate(3), issuer_id="ef" * 32))
    await require_own_database(store, OURS, ISSUER_IDS)
    await insert(store, theirs)
    with pytest.raises(ForeignDatabase, match=f"certificate {theirs.certificate_id} in it was issued by another"):
        await require_own_database(store, OURS, ISSUER_IDS)


async def test_certificates_that_users_registered_say_nothing(store: MemoryStore) -> None:
    await insert(store, replace(sample_certificate(1), issuer_id=None))
    await require_own_database(store, OURS, ISSUER_IDS)
